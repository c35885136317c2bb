"""Clocks that only delay: every rank stays in a loop until it has made the collective that the clock lets it reach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Assign, Call, Exit, Loop, Name, blocks, walk
from ..effects import events

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...ir.nodes import Block, Span, Statement
    from ..effects import Guard
    from ..summary.facts import FunctionFacts


def only_delays(facts: FunctionFacts, guard: Guard) -> bool:
    """Whether a condition on a clock decides when each turn's collective is made, and not whether it is.

    So it is in a `while` loop that is left, and whose condition changes, only where the one collective is made as well.
    """
    if any(cause.kind not in ("clock", "branch") for cause in guard.causes):
        return False
    loop = _innermost(facts.function.body, guard.span)
    if loop is None:
        return False
    inside = [event for event in events(facts.term) if loop.span.contains(event.place[0])]
    places = [event.place[0] for event in inside]
    if len({event.token for event in inside}) != 1 or any(_is_direct(statement, places) for statement in loop.body):
        return False
    asked = list(walk(loop.iterable))
    names = {part.id for part in asked if isinstance(part, Name)}
    ends = [
        around
        for around, statement in _statements(loop.body, ())
        if _leaves(statement) or (isinstance(statement, Assign) and not names.isdisjoint(_targets(statement)))
    ]
    known = bool(ends) and not any(isinstance(part, Call) for part in asked)
    return known and all(any(_has(block, places) for block in around[1:]) for around in ends)


def _innermost(block: Block, span: Span) -> Loop | None:
    """The innermost `while` loop around a place, if no `for` loop is between."""
    found: Loop | None = None
    for _, statement in _statements(block, ()):
        if isinstance(statement, Loop) and any(inner.span.contains(span) for inner in statement.body):
            found = statement
    return found if found is not None and found.target is None else None


def _statements(block: Block, around: tuple[Block, ...]) -> Iterator[tuple[tuple[Block, ...], Statement]]:
    """Every statement with the blocks that it lies in, outer ones first."""
    path = (*around, block)
    for statement in block:
        yield path, statement
        for inner in blocks(statement):
            yield from _statements(inner, path)


def _leaves(statement: Statement) -> bool:
    return isinstance(statement, Exit) and statement.kind in ("break", "return")


def _targets(statement: Assign) -> set[str]:
    return {part.id for target in statement.targets for part in walk(target) if isinstance(part, Name)}


def _has(block: Block, places: Sequence[Span]) -> bool:
    return any(_is_direct(statement, places) for statement in block)


def _is_direct(statement: Statement, places: Sequence[Span]) -> bool:
    """Whether one of the places is in a statement, and not in a block of it."""
    inner = [part.span for block in blocks(statement) for part in block]
    return any(statement.span.contains(place) and not any(span.contains(place) for span in inner) for place in places)
