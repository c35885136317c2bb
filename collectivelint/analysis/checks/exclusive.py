"""Places of one function that no single run reaches both of, because their conditions contradict each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Branch, Call, Compare, Constant, Logical, Not, assignments, blocks, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Block, Expr, Function, Span


def exclude(function: Function, test: Expr, site: Span) -> bool:
    """Whether a condition is false in any run that reaches a place: `kind == "full"` under `if kind == "sharded":`."""
    required = list(_required(test, holds=True))
    around = list(_around(function.body, site))
    changed = {target for item in assignments(function.body) for target in item.targets}
    return any(
        _contradicts(one, other) and not any(part in changed or isinstance(part, Call) for part in walk(one[0]))
        for one in required
        for other in around
    )


def _around(block: Block, site: Span) -> Iterator[tuple[Expr, bool]]:
    """The conditions around a place, each with its outcome there."""
    for statement in block:
        inside = [arm for arm in blocks(statement) if any(part.span.contains(site) for part in arm)]
        for arm in inside:
            if isinstance(statement, Branch):
                yield from _required(statement.test, holds=arm is statement.then)
            yield from _around(arm, site)


def _required(test: Expr, *, holds: bool) -> Iterator[tuple[Expr, bool]]:
    """The parts of a condition that have to be true, or false, for it to hold (or not to)."""
    match test:
        case Not(value=value):
            yield from _required(value, holds=not holds)
        case Logical(op=op, values=values) if (op == "and") is holds:
            for value in values:
                yield from _required(value, holds=holds)
        case Compare(left=left, op="!=", right=right):
            yield Compare(left, "==", right), not holds
        case _:
            yield test, holds


def _contradicts(one: tuple[Expr, bool], other: tuple[Expr, bool]) -> bool:
    """Whether two conditions, each with its outcome, contradict each other."""
    if one[0] == other[0]:
        return one[1] is not other[1]
    first, second = _equal(*one), _equal(*other)
    return first is not None and second is not None and first[0] == second[0] and first[1] != second[1]


def _equal(test: Expr, holds: bool) -> tuple[Expr, object] | None:
    """The expression, and the constant it equals, if `test` with the outcome `holds` says so; else None."""
    match test:
        case Compare(left=left, op="==", right=Constant(value=value)) if holds:
            return left, value
        case _:
            return None
