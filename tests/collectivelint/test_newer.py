"""Syntax of newer Pythons: linted where it can be put into the syntax of the one that runs, with every position kept."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING

import pytest

from collectivelint.source.newer import TooLongError, lowered
from collectivelint.source.parse import parse
from collectivelint.source.text import Source, UnreadableError

if TYPE_CHECKING:
    from tests.conftest import Project


def _parses(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


def _source(text: str) -> Source:
    return Source("f.py", text, "utf-8", bom=False)


#: Each has a name `here`, which has to be found where it stands.
_NEWER = {
    "type alias": "type Ranks = here[int]\n",
    "type alias with parameters": "type Pair[T: int, *Ts, **P] = (here[T])\n",
    "type alias of another script": "type Größe[T] = here\n",
    "function": "def f[T: (int, str) = int](x: here) -> T: pass\n",
    "parameters on lines": "def f[\n    T,  # one\n\n    S,\n](x: here) -> T: pass\n",
    "class": "class C[T](here): pass\n",
    "quotes": 'x = f"{a["b"]}{here}"\n',
    "quotes of another script": 'x = f"ä {a["b"]} ö {here} ü"; y = here\n',
    "backslash": 'x = f"{"\\n".join(here)}"\n',
    "lines and comments": 'def f():\n    x = f"{\n        a["b"]  # a " comment\n    } {here}"\n',
    "a value at the end of its row": 'x = f"{\n    a["b"]\n} {\nhere\n}"\ny = here\n',
    "brackets": 'x = f"{ ( a["b"] ) !r:>{w["x"]}} { (here) = }"\n',
    "nested": 'x = f"{f"{f"{here}"}"}"\n',
    "joined": 'x = ("a" # b\n  f"{a["b"]}" \'c\' f"{here}")\n',
    "template": 'x = t"a {here}"\n',
    "several exceptions": "try:\n    pass\nexcept A, B:\n    here\n",
    "exception group": "try:\n    pass\nexcept* A:\n    here\n",
    "lazy import": "lazy import a.b as c; here\nlazy  from a import b\n",
    "notebook-like": "here\ntype X = int\n",
}


@pytest.mark.parametrize("name", _NEWER)
def test_positions_are_those_of_the_text(name: str) -> None:
    text = _NEWER[name]
    source = _source(text)
    tree = parse(source)
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "here"]
    assert len(found) == text.count("here")
    for node in found:
        start = source.offset(node.lineno, source.column(node.lineno, node.col_offset))
        assert text[start : start + 4] == "here"
    compile(tree, "f.py", "exec", flags=ast.PyCF_ONLY_AST) if name != "lazy import" else None


def test_strings_are_strings_again() -> None:
    text = 'x = f"a{b["c"]}d" "e"\n'
    value = parse(_source(text)).body[0].value  # type: ignore[attr-defined]
    assert isinstance(value, ast.JoinedStr)
    assert ast.unparse(value) == "f\"a{b['c']}de\"" if sys.version_info < (3, 12) else ast.unparse(value)


@pytest.mark.parametrize(
    "text", ["x = (\n", "print 'x'\n", "def f(:\n", "type X = \n", 'x = f"{a["b"]"\n', "x = f'{'\n"]
)
def test_what_is_broken_stays_broken(text: str) -> None:
    with pytest.raises(UnreadableError, match="is not valid Python"):
        parse(_source(text))


@pytest.mark.parametrize(
    "value",
    [
        f"a{'.b()' * 2_000}",
        "(\n" + "not\n" * 4_000 + "y)",
        "(\n" + "+ y\n" * 9_000 + ")",
        "[" * 150 + "]" * 150,
    ],
    ids=["calls", "not", "sum", "brackets"],
)
def test_long_expressions_are_not_given_to_libcst(value: str) -> None:
    """Its time grows with the cube of their length, and deep ones end the process."""
    with pytest.raises(TooLongError):
        lowered(f"x = {value}\ntype X = int\n", _parses)


def test_long_tables_and_texts_are_no_long_expressions() -> None:
    table = "".join(f"    'name {n}': [(1, 2), f(x, y=(3,)), 'a ( b'],\n" for n in range(1_000))
    text = "+".join(["x"] * 100)
    found = lowered(f'x = {{\n{table}}}\ny = """{"(" * 500}"""\nz = {text}  # {"[" * 500}\ntype X = int\n', _parses)
    assert found is not None
    assert found.needs == (3, 12)


@pytest.mark.skipif(sys.version_info >= (3, 14), reason="this Python knows it")
def test_what_cannot_be_put_otherwise_says_what_it_needs(project: Project) -> None:
    project.write({"a.py": "import torch\ntry: pass\nexcept A, B: pass\n", "b.py": "x = 1\n"})
    out = project.run("--output-format", "concise", ".").out
    assert out.splitlines()[0].startswith("a.py:3:8: CL000 [unreadable-file] needs Python 3.14, and this is 3.")


def test_findings_comments_and_fixes(project: Project) -> None:
    text = (
        "import torch.distributed as dist\n\ntype Names = dict[str, str]\n\n\ndef save[T](names: T):\n"
        '    print(f"é{names["a"]}"); dist.barrier()\n'
        '    print(f"{names["b"]}", dist.barrier())  # noqa: CL101\n'
    )
    project.write(text)
    ran = project.fix("--explicit-world", "--select", "CL0,CL1", "--show-fixes")
    assert ran.code == 0
    assert project.text() == text.replace("; dist.barrier()", "; dist.barrier(group=dist.group.WORLD)")
