"""Rules and the analysis ask which operation a call is; what ranks have to agree on in each is said once."""

from __future__ import annotations

import ast
import keyword
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

import pytest

from collectivelint.catalog.operations import AGREED, ROOTS, Operation, agreed_roles
from collectivelint.catalog.reader import load, parse
from collectivelint.catalog.schema import CatalogError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.catalog.model import Api

_ROOT: Final = Path(__file__).parents[2]
_MODULES: Final = sorted(
    path
    for folder in ("rules", "collectivelint/analysis", "collectivelint/fixes")
    for path in (_ROOT / folder).rglob("*.py")
)
_OPERATIONS: Final = [
    operation for alias in get_args(Operation) for operation in (get_args(alias) if get_args(alias) else (alias,))
]


@pytest.mark.parametrize(
    "api", [pytest.param(api, id=api.name) for api in load().of("collective", "point_to_point", "lifecycle")]
)
def test_every_row_says_which_operation_it_is(api: Api) -> None:
    assert api.operation in _OPERATIONS
    assert set(api.roles) & set(ROOTS) <= set(agreed_roles(api.operation, "root")) or api.category == "point_to_point"


def test_every_operation_is_one_of_some_row() -> None:
    assert {api.operation for api in load().apis.values()} - {None} == set(_OPERATIONS)


def test_an_operation_has_an_agreed_root_because_a_row_has_one() -> None:
    rows = load().of("collective")
    for operation, agreed in AGREED.items():
        has_root = any(api.operation == operation and set(api.roles) & set(ROOTS) for api in rows)
        # mpi4py calls its root `root`, which plays no role.
        if "root" in agreed and operation != "reduce_object":
            assert has_root, operation
        assert "root" in agreed or not has_root, operation


@pytest.mark.parametrize(
    ("table", "text", "words"),
    [
        ("collectives", 'operation = "all_redcue"', ["m.f", "operation", "'all_redcue'", "did you mean `all_reduce`"]),
        ("collectives", 'operation = "send"', ["m.f", "'send'", "one of", "'barrier'"]),
        ("point_to_point", 'operation = "broadcast"', ["m.f", "'broadcast'", "'isend'"]),
        ("functions", 'operation = "broadcast"', ["m.f", "left out in functions"]),
        ("lifecycle", 'kind = "init"', ["m.f", "left out in lifecycle"]),
        ("collectives", "operation = 3", ["m.f", "operation", "string"]),
        ("collectives", 'operation = "barrier", pickles = "x"', ["m.f", "pickles", "'x'", "parameters"]),
    ],
)
def test_rows_with_a_wrong_operation(table: str, text: str, words: list[str]) -> None:
    row = f'[[section]]\nmodule = "m"\nsource = "s"\n{table} = [{{ name = "f", params = "a", {text} }}]\n'
    with pytest.raises(CatalogError) as caught:
        parse([("x.toml", row)])
    assert all(word in str(caught.value) for word in words), caught.value


# ------------------------------------------------------------------------------------------- no comparison of names


def _names(node: ast.AST, constants: dict[str, ast.expr]) -> Iterator[str]:
    """The names of calls among the strings of an expression, or of the constant of the module that it is."""
    if isinstance(node, ast.Name) and node.id in constants:
        node = constants[node.id]
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text = part.value
            if text.replace(".", "_").isidentifier() and not keyword.iskeyword(text) and any(map(str.isalpha, text)):
                yield text


def _is_call_name(node: ast.AST) -> bool:
    """Whether an expression is the name of an API or an event: `x.op`, `x.api.name`, or a part of one."""
    match node:
        case ast.Name(id="op") | ast.Attribute(attr="op"):
            return True
        case ast.Attribute(value=ast.Name(id="api") | ast.Attribute(attr="api"), attr="name"):
            return True
        case ast.Attribute(attr="api"):
            return True
        case ast.Subscript(value=value) | ast.Call(func=ast.Attribute(value=value)):
            return _is_call_name(value)
        case _:
            return False


def _compared(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, name) of each comparison of the name of a call with a string, of whatever kind."""
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        sides: list[ast.AST] = []
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
            case ast.Call(func=ast.Attribute(value=value, attr="startswith" | "endswith"), args=[argument, *_]):
                sides = [value, argument]
            case ast.Call(func=ast.Attribute(value=ast.Name() as table, attr="get"), args=[argument, *_]):
                sides = [table, argument]
            case ast.Subscript(value=ast.Name() as table, slice=key):
                sides = [table, key]
            case ast.MatchClass(kwd_attrs=words, kwd_patterns=patterns) if "op" in words:
                pattern = patterns[words.index("op")]
                yield from ((node.cls.lineno, name) for name in _names(pattern, {}))
        if any(_is_call_name(side) for side in sides):
            for side in sides:
                if not _is_call_name(side):
                    yield from ((node.lineno, name) for name in _names(side, constants))  # type: ignore[attr-defined]


@pytest.mark.parametrize("path", [pytest.param(path, id=str(path.relative_to(_ROOT))) for path in _MODULES])
def test_no_name_of_a_call_is_compared(path: Path) -> None:
    assert list(_compared(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    "code",
    [
        'if call.api.op == "barrier": pass',
        'if call.api.op not in ("isend", "irecv"): pass',
        'if event.op in {"barrier"}: pass',
        'NAMES = frozenset({"all_reduce"})\nif event.op in NAMES: pass',
        'NAMES: Final = {"send": 1}\nNAMES[call.api.op]',
        'NAMES = {"send": 1}\nNAMES.get(call.api.op)',
        'call.api.op.startswith("send")',
        'call.api.name.endswith(".barrier")',
        'if api.name == "torch.distributed.barrier": pass',
        'if use.api.rpartition(".")[2] in ("makedirs", "mkdir"): pass',
        'op = call.api.op\nif op == "barrier": pass',
        'match event:\n    case Event(op="barrier"): pass',
    ],
)
def test_a_comparison_of_names_is_found(code: str) -> None:
    assert list(_compared(ast.parse(code))) != []


@pytest.mark.parametrize(
    "code",
    [
        'if call.api.operation == "barrier": pass',
        'if test.op in ("==", "is"): pass',
        'if test.op == "and": pass',
        "if one.op == other.op: pass",
        'if api.op.startswith("_"): pass',
    ],
)
def test_other_comparisons_are_not(code: str) -> None:
    assert list(_compared(ast.parse(code))) == []
