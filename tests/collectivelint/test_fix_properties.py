"""What has to hold of fixes whatever the code looks like: on generated programs, and on the files of the installed torch."""

from __future__ import annotations

import ast
import importlib.util
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collectivelint.cli.fixing import fix
from collectivelint.engine import Linter, Result
from collectivelint.settings import Resolver
from collectivelint.source.text import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.finding import Finding

_FIXABLE: Final = ("CL101", "CL103", "CL109", "CL201", "CL301", "CL406", "CL502", "CL601", "CL604")
#: How many programs there are says the profile, see tests/conftest.py.
_PROPERTY: Final = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other files belong to the programs."""
    monkeypatch.chdir(tmp_path)


# -------------------------------------------------------------------------------------------------- generated programs

_SPACE: Final = st.sampled_from(["", " ", "  "])
#: Between two arguments: a space, nothing, or a new line, with a comment or without.
_BREAK: Final = st.sampled_from(["", " ", "\n        ", "  # why\n        ", "\n\n            "])
_ARGUMENTS: Final = st.sampled_from(
    [
        ("barrier", []),
        ("barrier", ["None"]),
        ("barrier", ["async_op=False"]),
        ("all_reduce", ["x"]),
        ("all_reduce", ["x", "dist.ReduceOp.MAX"]),
        ("all_reduce", ["x", "op=dist.ReduceOp.MAX", "group=None"]),
        ("all_reduce", ["x", "async_op=True"]),
        ("all_reduce", ["x.y[0]", "group=g"]),
        ("broadcast", ["x", "0"]),
        ("broadcast", ["x", "src=0", "group=g"]),
        ("broadcast", ["x", "(0)", "g"]),
        ("_all_gather_base", ["o", "x"]),
        ("all_gather", ["[y for y in x]", "x"]),
        ("all_gather_object", ["o", "(y for y in x)"]),
        ("all_reduce", ["f(x, dist.get_rank())", "*a"]),
        ("all_reduce", ["x", "**k"]),
        ("send", ["x", "dst = 1"]),
        ("all_reduce", ["{'ä': x}['ä']"]),
    ]
)


@st.composite
def _call(draw: st.DrawFn) -> str:
    name, arguments = draw(_ARGUMENTS)
    text = ""
    for number, argument in enumerate(arguments):
        text += (("," if number else "") + draw(_BREAK)) + argument
    if arguments and draw(st.booleans()):
        text += ("," if not arguments[-1].startswith("(y") else "") + draw(_BREAK)
    return f"dist.{name}{draw(_SPACE)}({text})"


_STATEMENTS: Final = st.sampled_from(
    [
        "{call}",
        "{call}  # comment: ä",
        "w = {call}",
        "w = {call}; z = 1",
        "w = [\n        {call},  # one\n        2,\n    ]",
        "if a: {call}",
        "if a:\n        {call}\n    else:\n        b()",
        "if dist.get_rank() == 0:\n        b()\n        {call}",
        "for i in a:\n        w = {call}",
        "with c({call}) as d:\n        pass",
        "while {call}: pass",
        "assert {call}, 'no'",
        "b({call}, lambda: {call})",
        'f"{{ {call} }}"',
        "w = \\\n        {call}",
        "try:\n        {call}\n    finally:\n        pass",
        "assert len(x) == dist.get_world_size(), f'{{x}}'",
        "yield {call}",
    ]
)


@st.composite
def _statement(draw: st.DrawFn) -> str:
    pattern = draw(_STATEMENTS)
    # Before Python 3.12 an f-string has no comments and no new lines.
    call = draw(_call())
    while 'f"' in pattern and not set("\n#'").isdisjoint(call):
        call = "dist.barrier( )"
    return str(pattern.format(call=call))


@st.composite
def _program(draw: st.DrawFn) -> str:
    parameters = draw(st.sampled_from(["x", "x, g", "self, x, g: dist.ProcessGroup = None", "x, *, group"]))
    body = [draw(_statement()) for _ in range(draw(st.integers(1, 4)))]
    text = "import torch.distributed as dist\n\n\n"
    text += draw(st.sampled_from(["", "class C:\n  pass\n\f\n", '"""A text."""\n', "@b\n"]))
    text += f"def f({parameters}):\n    " + "\n    ".join(body)
    if draw(st.booleans()):
        text = text.replace("    ", "\t")
    text = text.replace("\n", draw(st.sampled_from(["\n", "\r\n"])))
    return text + draw(st.sampled_from(["", "\n", "  # end"]))


# ----------------------------------------------------------------------------------------------------- what is checked


def _lint(text: str, **options: Any) -> tuple[Linter, Result]:
    linter = Linter(Resolver(options, isolated=True), {"main.py": Source("main.py", text, "utf-8", bom=False)})
    return linter, linter.run([Path("main.py")])


def _fixed(text: str, **options: Any) -> tuple[str, list[Finding]]:
    texts = [text]

    def lint() -> tuple[Linter, Result]:
        linter, result = _lint(texts[-1], **options)
        assert result.errors == []
        return linter, result

    def save(_: Source, new: str) -> None:
        texts.append(new)

    done = fix(lint, *lint(), Resolver(options, isolated=True), save)
    assert not done.failed
    return texts[-1], done.result.findings


def _tokens(text: str) -> list[str]:
    """All tokens that are not white space, comments included; f-strings whole."""
    skipped = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    found = tokenize.generate_tokens(io.StringIO(text, newline="").readline)
    return [token.string.strip() for token in found if token.type not in skipped]


def _without_groups(text: str) -> str:
    """The program but for the groups that its calls name."""

    class NoGroups(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:  # the name that ast calls
            self.generic_visit(node)
            node.keywords = [item for item in node.keywords if item.arg != "group"]
            node.args = [item for item in node.args if not (isinstance(item, ast.Constant) and item.value is None)]
            return node

    class NoWorld(ast.NodeTransformer):
        def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
            return ast.Constant(None) if ast.unparse(node) == "dist.group.WORLD" else node

    return ast.dump(NoGroups().visit(NoWorld().visit(ast.parse(text))))


def _is_within(part: list[str], whole: list[str]) -> bool:
    rest = iter(whole)
    return all(token in rest for token in part)


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except SyntaxError:
        return False
    return True


@given(_program())
@_PROPERTY
def test_naming_the_default_group_changes_nothing_else(text: str) -> None:
    options: dict[str, Any] = {"select": ("CL101",), "explicit_world": True}
    if not _parses(text):
        return
    after, left = _fixed(text, **options)
    assert _without_groups(after) == _without_groups(text)
    before = [token for token in _tokens(text) if token != "None"]
    assert _is_within([token for token in before if not token.startswith(('f"', "f'"))], _tokens(after))
    # Where arguments are spread, a group may be among them.
    assert all("*" in after for _ in left)
    assert _fixed(after, **options)[0] == after
    assert set(re.findall(r"\r?\n", after)) == set(re.findall(r"\r?\n", text))


@given(_program(), st.booleans())
@_PROPERTY
def test_all_fixes_together(text: str, use_group_ops: bool) -> None:
    options: dict[str, Any] = {"select": _FIXABLE, "explicit_world": True, "unsafe_fixes": True}
    options["use_group_ops"] = use_group_ops
    if not _parses(text):
        return
    after, left = _fixed(text, **options)
    ast.parse(after)
    # Nothing that could be fixed is left, nothing new is there, and comments stay.
    assert not [
        item for item in left if item.fix is not None and item.fix.edits and item.fix.applicability != "display"
    ]
    assert {item.code for item in left} <= {item.code for item in _lint(text, **options)[1].findings} | {"CL103"}
    kept, _ = _fixed(text, **{**options, "unsafe_fixes": False, "select": _FIXABLE})
    comments = Counter(token for token in _tokens(text) if token.startswith("#"))
    assert comments <= Counter(token for token in _tokens(kept) if token.startswith("#"))
    assert _fixed(after, **options)[0] == after


@given(st.lists(_program(), min_size=1, max_size=3))
@settings(max_examples=_PROPERTY.max_examples // 3)
def test_formatting_loses_no_finding(texts: list[str]) -> None:
    for text in texts:
        if not _parses(text):
            continue
        command = [sys.executable, "-m", "ruff", "format", "--isolated", "--stdin-filename", "main.py", "-"]
        ran = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=60)
        before, after = (_lint(item, select=("ALL",))[1].findings for item in (text, ran.stdout.decode()))
        assert Counter((item.code, item.function) for item in before) == Counter(
            (item.code, item.function) for item in after
        )


# -------------------------------------------------------------------------------------------------------- real files


def _real() -> Iterator[Path]:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return
    for path in sorted((Path(spec.origin).parent / "distributed").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "dist." in text and len(text) < 60_000:
            yield path


_REAL: Final = list(_real())


@pytest.mark.skipif(not _REAL, reason="torch is not installed")
@given(st.sampled_from(_REAL or [Path()]), st.booleans())
@settings(max_examples=_PROPERTY.max_examples // 2)
def test_real_files(path: Path, unsafe: bool) -> None:
    text = path.read_text(encoding="utf-8")
    options: dict[str, Any] = {"select": _FIXABLE, "explicit_world": True, "unsafe_fixes": unsafe}
    after, left = _fixed(text, **options)
    ast.parse(after)
    applied = ("safe", "unsafe") if unsafe else ("safe",)
    assert not [item for item in left if item.fix is not None and item.fix.edits and item.fix.applicability in applied]
    assert _fixed(after, **options)[0] == after
    if not unsafe:
        # Of the safe fixes only CL406 and CL604 replace anything.
        only, _ = _fixed(text, select=("CL101",), explicit_world=True)
        assert _is_within([token for token in _tokens(text) if token != "None"], _tokens(only))


def test_there_are_real_files() -> None:
    if importlib.util.find_spec("torch") is not None:
        assert len(_REAL) > 50
