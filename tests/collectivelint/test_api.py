"""The API for authors of rules: complete for the rules of the project, lazy, and said once."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from collectivelint import api

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROOT: Final = Path(__file__).parents[2]
_RULES: Final = sorted(path for path in (_ROOT / "rules").glob("*.py") if path.stem != "__init__")


def _imported(tree: ast.AST) -> Iterator[str]:
    """The modules of the project that a module imports, wherever the statement stands."""
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=module, level=level):
                name = f"{'.' * level}{module or ''}"
                if level or name.partition(".")[0] == "collectivelint":
                    # `from collectivelint import api` as well as `from collectivelint.api import Rule`.
                    yield from (f"{name}.{item.name}" for item in node.names) if name == "collectivelint" else (name,)
            case ast.Import(names=names):
                yield from (item.name for item in names if item.name.partition(".")[0] == "collectivelint")


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in _RULES])
def test_rules_import_the_api_and_nothing_else_of_the_project(path: Path) -> None:
    assert set(_imported(ast.parse(path.read_text(encoding="utf-8")))) == {"collectivelint.api"}


@pytest.mark.parametrize(
    "code",
    [
        "from collectivelint.rule import Rule",
        "import collectivelint.engine",
        "from .other import helper",
        "from collectivelint import finding",
        "def f():\n    from collectivelint.fixes.arguments import with_keyword",
    ],
)
def test_another_import_is_found(code: str) -> None:
    assert set(_imported(ast.parse(code))) - {"collectivelint.api"} != set()


def test_type_checkers_see_what_is_there() -> None:
    """The imports for type checkers, the table of modules and `__all__` have the same names, from the same modules."""
    tree = ast.parse(Path(api.__file__).read_text(encoding="utf-8"))
    shown = {
        item.asname or item.name: (node.module, item.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for item in node.names
    }
    table = {name: (module, api._RENAMED.get(name, name)) for name, module in api._HOME_OF.items()}
    assert shown == table
    assert sorted(table) == sorted(api.__all__) == dir(api)
    assert sum(len(names.split()) for names in api._HOMES.values()) == len(table)


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(api, name) is not None


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match=r"module 'collectivelint\.api' has no attribute 'Rulez'"):
        _ = api.Rulez


def test_importing_the_api_imports_nothing_that_costs() -> None:
    code = (
        "import json, sys, collectivelint.api\n"
        "from collectivelint.api import Rule, Report, Place\n"
        "print(json.dumps([name for name in sys.modules if name.partition('.')[0] in ('collectivelint', 'libcst', 'torch')]))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    expected = {"collectivelint", "collectivelint.api", "collectivelint.rule", "collectivelint.rule_id"}
    expected |= {"collectivelint.findings", "collectivelint.findings.confidence"}
    assert set(json.loads(done.stdout)) == expected
