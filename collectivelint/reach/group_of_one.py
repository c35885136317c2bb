"""Functions that create a process group of one rank, so that their programs have a single rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Assert, Assign, Call, Compare, Constant, Subscript, expressions
from ..ir.traversal import blocks

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..ir.nodes import Block, Expr, Function, Statement

_INIT: Final = "init_process_group"
_SIZE: Final = "WORLD_SIZE"


def is_group_of_one(function: Function, module: Function | None = None) -> bool:
    """Whether a function creates the default group, always with one rank, by argument or through the environment.

    An assertion that a size is 1, in the function or in `module`, the body of its file, counts as that size being 1.
    """
    made = [
        expr
        for expr in expressions(function.body)
        if isinstance(expr, Call) and (plain(expr.function) or "").rpartition(".")[2] == _INIT
    ]
    if not made:
        return False
    bodies = [function.body, *([module.body] if module is not None else [])]
    asserted = [size for body in bodies for statement in _statements(body) for size in _asserted(statement)]
    is_set = any(_sets_one(statement, asserted) for statement in _statements(function.body))
    return all((size is None and is_set) or (size is not None and _is_one(size, asserted)) for size in map(_size, made))


def _size(call: Call) -> Expr | None:
    """The size that a call gives, or None."""
    return next((value for name, value in call.keywords if name == "world_size"), None)


def _asserted(statement: Statement) -> Iterator[Expr]:
    """The expressions that a statement asserts to be 1."""
    match statement:
        case Assert(test=Compare(left=size, op="==", right=Constant(value=1))):
            yield size


def _is_one(size: Expr, asserted: Collection[Expr]) -> bool:
    """Whether an expression is 1 or its text."""
    match size:
        case Call(args=(inner,), keywords=()) if plain(size.function) in ("str", "int"):
            return _is_one(inner, asserted)
        case Constant(value=value):
            return value in (1, "1")
        case _:
            return size in asserted


def _sets_one(statement: Statement, asserted: Collection[Expr]) -> bool:
    """`os.environ["WORLD_SIZE"] = "1"`."""
    match statement:
        case Assign(targets=(Subscript(value=variables, index=Constant(value=name)),), value=size):
            return name == _SIZE and plain(variables) in ("os.environ", "environ") and _is_one(size, asserted)
        case _:
            return False


def _statements(block: Block) -> Iterator[Statement]:
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from _statements(inner)
