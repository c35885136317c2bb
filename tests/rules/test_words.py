"""What rules say: their pages, messages, trails and help use the field's words."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import collectivelint.analysis.checks.file_evidence
import collectivelint.analysis.domain.causes
from collectivelint.registry import discover

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Project

#: Everyday words where the field has one, and actors that are not named.
_AVOIDED: Final = re.compile(
    r"\b(nobody|somebody|anybody|whoever|whatever exception|at hand|happens? to|get(?:s|ting)? to|on the way here|"
    r"moment of its own|turns?|have met|mend(?:s|ed)?|told|at once|as it were|without a word|left alone)\b"
)
_MODULES: Final = [
    *(str(module.__file__) for module in discover().values()),
    # Of a compiled module, the source beside it.
    str(Path(collectivelint.analysis.domain.causes.__file__).with_name("causes.py")),
    str(Path(collectivelint.analysis.checks.file_evidence.__file__).with_name("file_evidence.py")),
]


def _texts(tree: ast.Module) -> Iterator[str]:
    """The page (the docstring of the module), and strings of more than one word that are no docstrings of functions."""
    inner = [node.body[0] for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    docstrings = {id(statement.value) for statement in inner if isinstance(statement, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield re.sub(r"```.*?```|`[^`]*`", "`code`", node.value, flags=re.DOTALL)


@pytest.mark.parametrize("path", _MODULES, ids=lambda path: Path(path).stem)
def test_the_words_of_a_rule(path: str) -> None:
    source = Path(path).read_text(encoding="utf-8")
    found = [match[0] for text in _texts(ast.parse(source)) if " " in text for match in _AVOIDED.finditer(text)]
    assert not found


@pytest.mark.parametrize(
    ("call", "advice"),
    [
        ("broadcast(x, src=0, group_src=0, group=group)", "pass one of them"),
        ("all_reduce(x, group)", "pass the group as a keyword: `group=`"),
    ],
)
def test_help_fits_the_message(project: Project, call: str, advice: str) -> None:
    project.write(
        "import torch.distributed as dist\n\n\n"
        f"def share(x, ranks):\n    group = dist.new_group(ranks)\n    dist.{call}\n"
    )
    (finding,) = project.lint(select=["CL109"]).findings
    assert finding.help == advice
