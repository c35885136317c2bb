"""Which of several equal conditions of a function decides about a collective: the one that a report shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..effects import Choice, Repeat, exits, parts, walk

if TYPE_CHECKING:
    from ..domain.symbol import Symbol
    from ..effects import Event, Guard, Item, Term


def deciding(term: Term, guard: Guard, event: Event) -> Guard:
    """`guard`, where it is written next to a collective: the innermost one around it, else the last exit before it."""
    found = _around(term, guard.symbol, event) or _exit_before(term, guard.symbol, event)
    if found is None:
        return guard
    return replace(
        guard,
        path=found.path,
        span=found.span,
        statement=found.statement,
        positive=found.positive,
        subject=found.subject,
    )


def _around(term: Term, symbol: Symbol, event: Event) -> Guard | None:
    """The innermost condition of this symbol around the collective, the first one in order of appearance that has any."""
    for item in walk(term):
        guard = _guard(item)
        if guard is not None and _decides(guard, symbol) and any(_has(part, event) for part in parts(item)):
            inner = next((found for part in parts(item) if (found := _around(part, symbol, event)) is not None), None)
            return inner or guard
    return None


def _exit_before(term: Term, symbol: Symbol, event: Event) -> Guard | None:
    """The last condition before the collective, or in the whole term, with an arm that leaves."""
    last: Guard | None = None
    for item in walk(term):
        if item is event:
            break
        if isinstance(item, Choice) and _decides(item.guard, symbol) and exits((item,)):
            last = item.guard
    return last


def _guard(item: Item) -> Guard | None:
    return item.guard if isinstance(item, Choice) else item.trips if isinstance(item, Repeat) else None


def _decides(guard: Guard, symbol: Symbol) -> bool:
    return guard.symbol is symbol and guard.own and bool(guard.varies)


def _has(term: Term, event: Event) -> bool:
    return any(item is event for item in walk(term))
