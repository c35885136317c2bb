"""Threads that run collectives while the function that starts them runs none: it waits for their end first."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ...ir.names import plain
from ...ir.nodes import Assign, Attribute, Call, Exit, Loop
from ...ir.traversal import blocks, calls
from ..effects import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Block, Span, Statement
    from ..summary.facts import FunctionFacts
    from ..summary.model import Registration

#: A statement, and the loops around it.
_Placed: TypeAlias = "tuple[Statement, tuple[Span, ...]]"


def runs_alone(facts: FunctionFacts, registration: Registration) -> bool:
    """Whether every rank starts a thread and joins it before the starting function runs a collective of its own."""
    if registration.some_ranks:
        return False
    placed = list(_statements(facts.function.body, ()))
    made = [
        statement
        for statement, _ in placed
        if isinstance(statement, Assign)
        and isinstance(statement.value, Call)
        and statement.value.span == registration.span
    ]
    names = {name for statement in made for target in statement.targets if (name := plain(target)) is not None}
    starts, joins = list(_calls_on(placed, names, "start")), list(_calls_on(placed, names, "join"))
    if "pool" in registration.kind:
        # What is given to a pool starts at once; what is given for each element runs in several threads.
        around = next(
            (loops for statement, loops in reversed(placed) if statement.span.contains(registration.span)), ()
        )
        starts = [(registration.span, around)] if registration.kind.startswith("a ") else []
        joins = [*_calls_on(placed, names, "result"), *_calls_on(placed, names, "get")]
        if starts and any(_waits_at_once(statement, registration.span) for statement, _ in placed):
            return True
    if len(starts) != 1:
        return False
    start, around = starts[0]
    ends = [join for join, loops in joins if loops == around and join.start > start.start]
    if not ends:
        return False
    end = min(ends)
    leaves = any(
        isinstance(statement, Exit) and statement.kind != "raise" and start.start < statement.span.start < end.start
        for statement, _ in placed
    )
    return not leaves and not any(start.start < event.place[0].start < end.start for event in events(facts.term))


def _waits_at_once(statement: Statement, started: Span) -> bool:
    """Whether it has `pool.submit(function).result()`, where the call that starts the function is at `started`."""
    return any(
        isinstance(call.function, Attribute)
        and call.function.name in ("result", "get")
        and isinstance(call.function.value, Call)
        and call.function.value.span == started
        for call in calls(statement)
    )


def _statements(block: Block, loops: tuple[Span, ...]) -> Iterator[_Placed]:
    for statement in block:
        yield statement, loops
        inside = (*loops, statement.span) if isinstance(statement, Loop) else loops
        for inner in blocks(statement):
            yield from _statements(inner, inside)


def _calls_on(placed: list[_Placed], names: set[str], method: str) -> Iterator[tuple[Span, tuple[Span, ...]]]:
    """The calls of a method on what is kept under a name."""
    for statement, loops in placed:
        for call in calls(statement):
            if (
                isinstance(call.function, Attribute)
                and call.function.name == method
                and plain(call.function.value) in names
            ):
                yield call.span, loops
