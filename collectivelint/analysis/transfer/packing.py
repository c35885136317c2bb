"""Functions whose result length depends on the values of an argument, such as packing by lengths."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Branch,
    Call,
    Compare,
    Compound,
    Evaluate,
    Exit,
    Loop,
    Name,
    assignments,
    blocks,
    calls,
    children,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Block, Expr, Function, Statement


def packs(function: Function, own: frozenset[str]) -> bool:
    """Whether a loop adds to the function's result, or yields, under a comparison of values of these parameters.

    The number of elements, and the index of one, are not such values.
    """
    returned = {
        part.id
        for statement in _statements(function.body)
        if isinstance(statement, Exit) and statement.kind == "return" and statement.value is not None
        for part in (statement.value.parts if isinstance(statement.value, Compound) else (statement.value,))
        if isinstance(part, Name)
    }
    loops = [statement for statement in _statements(function.body) if isinstance(statement, Loop)]
    if not loops:
        return False
    made = set(own)
    for _ in range(2):
        for loop in loops:
            if loop.target is not None and _says(loop.iterable, made):
                made |= _elements(loop.iterable, loop.target)
        for one in assignments(function.body):
            if _says(one.value, made):
                made |= {target.id for target in one.targets if isinstance(target, Name)}
    return any(_adds(loop.body, returned, made) for loop in loops)


def _statements(block: Block) -> Iterator[Statement]:
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from _statements(inner)


def _elements(iterable: Expr, target: Expr) -> set[str]:
    """The names that a loop binds to elements, without the index that `enumerate` adds."""
    parts = target.parts if isinstance(target, Compound) else (target,)
    if isinstance(iterable, Call) and plain(iterable.function) == "enumerate":
        parts = parts[1:]
    return {part.id for part in parts if isinstance(part, Name)}


def _says(expr: Expr, made: set[str]) -> bool:
    """Whether an expression depends on the values in something, not only on how many there are."""
    if isinstance(expr, Name):
        return expr.id in made
    if isinstance(expr, Attribute) and expr.name in ("shape", "ndim", "device", "dtype"):
        return False
    if isinstance(expr, Call) and plain(expr.function) in ("range", "len", "isinstance"):
        return False
    return any(_says(part, made) for part in children(expr))


def _adds(block: Block, returned: set[str], made: set[str]) -> bool:
    """Whether an arm of such a comparison adds to the result."""
    for statement in block:
        is_asking = isinstance(statement, Branch) and _compares(statement.test, made)
        if is_asking and any(_grows(inner, returned) for part in blocks(statement) for inner in _statements(part)):
            return True
        if any(_adds(inner, returned, made) for inner in blocks(statement)):
            return True
    return False


def _compares(test: Expr, made: set[str]) -> bool:
    if isinstance(test, Compare):
        return test.op in ("<", ">", "<=", ">=") and _says(test, made)
    return any(_compares(part, made) for part in children(test))


def _grows(statement: Statement, returned: set[str]) -> bool:
    """Whether a statement yields, or adds an element to what is returned."""
    if isinstance(statement, Evaluate) and isinstance(statement.value, Compound) and statement.value.kind == "yield":
        return True
    return any(
        isinstance(call.function, Attribute)
        and call.function.name == "append"
        and isinstance(call.function.value, Name)
        and call.function.value.id in returned
        for call in calls(statement)
    )
