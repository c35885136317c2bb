"""The page of every rule, which is its module's docstring: sections, examples that behave as they say."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from collectivelint.engine import Linter
from collectivelint.findings.confidence import Confidence
from collectivelint.fixes.apply import fixed, select
from collectivelint.registry import discover
from collectivelint.selectors import matches
from collectivelint.settings import Resolver

if TYPE_CHECKING:
    from collectivelint.rule import RuleModule
    from tests.conftest import Project

_SECTIONS: Final = (
    "What it does",
    "Why is this bad",
    "Example",
    "Use instead",
    "Confidence",
    "Fix safety",
    "Options",
    "References",
)
_NEEDED: Final = {"What it does", "Why is this bad", "Use instead", "References"}
_MODULES: Final = [pytest.param(module, id=code) for code, module in discover().items()]


def _sections(module: RuleModule) -> dict[str, str]:
    _, *parts = re.split(r"^## (.+)\n", module.__doc__ or "", flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


def _code(module: RuleModule, section: str) -> str:
    found = re.search(r"```python\n(.*?)```", _sections(module).get(section, ""), re.DOTALL)
    if found is None:
        pytest.skip(f"{module.RULE.code} has no code under {section!r}")
    return found.group(1)


def _comparable(text: str) -> str:
    return ast.dump(ast.parse(text))


def _selection(module: RuleModule) -> dict[str, Any]:
    """The default rules, and the module's own; at the confidence that users see, unless its page says that it has less."""
    low = {"min_confidence": "low"} if _sections(module).get("Confidence", "").strip().startswith("Low") else {}
    return low if module.RULE.default else {**low, "extend_select": [module.RULE.code]}


@pytest.mark.parametrize("module", _MODULES)
def test_sections(module: RuleModule) -> None:
    names = list(_sections(module))
    assert names == [name for name in _SECTIONS if name in names]
    assert set(names) >= _NEEDED
    assert ("Fix safety" in names) == bool(module.RULE.fix)
    assert module.__doc__ and module.__doc__.partition("\n")[0].endswith(".")


@pytest.mark.parametrize("module", _MODULES)
def test_example_is_reported_at_its_marks(module: RuleModule, project: Project) -> None:
    code = _code(module, "Example")
    assert f"# {module.RULE.code}" in code
    project.check_marked(code, **_selection(module))


@pytest.mark.parametrize("module", _MODULES)
def test_an_example_has_the_confidence_of_its_page(module: RuleModule, project: Project) -> None:
    if not _sections(module).get("Confidence", "").strip().startswith("Low"):
        pytest.skip(f"the page of {module.RULE.code} does not say that it is low")
    project.write(_code(module, "Example"))
    found = project.lint(select=[module.RULE.code]).findings
    assert {finding.confidence.word for finding in found if finding.code == module.RULE.code} == {"low"}


@pytest.mark.parametrize("module", _MODULES)
def test_use_instead_is_silent(module: RuleModule, project: Project) -> None:
    project.check_marked(_code(module, "Use instead"), **_selection(module))


@pytest.mark.parametrize("module", _MODULES)
def test_fixed_example_is_use_instead(module: RuleModule, project: Project) -> None:
    if not module.RULE.fix:
        pytest.skip(f"{module.RULE.code} has no fix")
    project.write(_code(module, "Example"))
    linter = Linter(
        Resolver({"unsafe_fixes": True, "select": (module.RULE.code,), "min_confidence": Confidence.LOW}, isolated=True)
    )
    chosen = select(linter.run([Path("main.py")]).findings, unsafe=True)
    text = fixed(linter.source("main.py"), [edit for finding in chosen if finding.fix for edit in finding.fix.edits])
    assert _comparable(text) == _comparable(_code(module, "Use instead"))


def test_codes_and_names_are_unique() -> None:
    rules = [module.RULE for module in discover().values()]
    assert len({rule.name for rule in rules}) == len(rules)
    for rule in rules:
        assert re.fullmatch(r"CL\d{3}", rule.code)
        assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", rule.name)
        assert not rule.summary.endswith(".")


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("ALL", True),
        ("CL", True),
        ("CL1", True),
        ("CL101", True),
        ("missing-group", True),
        ("CL2", False),
        ("missing", False),
    ],
)
def test_selectors(selector: str, expected: bool) -> None:
    assert matches(selector, discover()["CL101"].RULE) is expected
