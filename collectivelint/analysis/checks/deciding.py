"""Which of several equal conditions of a function decides about a collective: the one that a report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..effects import Choice, decided_by, exits, walk
from ..positions import within

if TYPE_CHECKING:
    from ..domain.symbol import Symbol
    from ..effects import Event, Guard, Item, Term


def deciding(term: Term, guard: Guard, event: Event) -> Guard:
    """`guard` at the place nearest to a collective: the innermost one around it, else the last exit before it."""
    found = _around(term, guard.symbol, event) or _exit_before(term, guard.symbol, event)
    if found is None:
        return guard
    return guard.but(found.path, found.span, found.statement, found.positive, subject=found.subject)


def _around(term: Term, symbol: Symbol, event: Event) -> Guard | None:
    """The innermost condition of this symbol around the collective, the first one in order of appearance that has any."""

    def inside(item: Item, _: int, around: Guard | None) -> Guard | None:
        guard = decided_by(item)
        return guard if guard is not None and _decides(guard, symbol) else around

    none: Guard | None = None
    around = (guard for item, guard in within(term, none, inside) if item is event)
    return next((guard for guard in around if guard is not None), None)


def _exit_before(term: Term, symbol: Symbol, event: Event) -> Guard | None:
    """The last condition before the collective, or in the whole term, with an arm that leaves."""
    last: Guard | None = None
    for item in walk(term):
        if item is event:
            break
        if isinstance(item, Choice) and _decides(item.guard, symbol) and exits((item,)):
            last = item.guard
    return last


def _decides(guard: Guard, symbol: Symbol) -> bool:
    return guard.symbol is symbol and guard.own and bool(guard.varies)
