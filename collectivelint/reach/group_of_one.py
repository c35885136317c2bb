"""Functions that make a process group of one rank: their programs have no other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..ir.names import plain
from ..ir.nodes import Assign, Call, Constant, Subscript, expressions
from ..ir.traversal import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..ir.nodes import Block, Function, Statement

_INIT: Final = "init_process_group"
_SIZE: Final = "WORLD_SIZE"


def is_group_of_one(function: Function) -> bool:
    """Whether a function makes the default group, and says each time that it has one rank, or sets the environment so."""
    made = [
        expr
        for expr in expressions(function.body)
        if isinstance(expr, Call) and (plain(expr.function) or "").rpartition(".")[2] == _INIT
    ]
    if not made:
        return False
    is_set = any(_sets_one(statement) for statement in _statements(function.body))
    return all(_size(call) == Constant(1) or (is_set and _size(call) is None) for call in made)


def _size(call: Call) -> object:
    """The size that a call gives, or None."""
    return next((value for name, value in call.keywords if name == "world_size"), None)


def _sets_one(statement: Statement) -> bool:
    """`os.environ["WORLD_SIZE"] = "1"`."""
    match statement:
        case Assign(targets=(Subscript(value=variables, index=Constant(value=name)),), value=Constant(value=size)):
            return name == _SIZE and size == "1" and plain(variables) in ("os.environ", "environ")
        case _:
            return False


def _statements(block: Block) -> Iterator[Statement]:
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from _statements(inner)
