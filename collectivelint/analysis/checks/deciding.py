"""Which of several equal conditions of a function decides about a collective: the one that a report shows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..effects import Choice, Event, Leave, Repeat

if TYPE_CHECKING:
    from ..domain.symbol import Symbol
    from ..effects import Guard, Term


def deciding(term: Term, guard: Guard, event: Event) -> Guard:
    """`guard`, where it is written next to a collective: the innermost one around it, else the last exit before it."""
    found = _around(term, guard.symbol, event) or _exit_before(term, guard.symbol, event)[0]
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
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse):
                inner = _around(then, symbol, event) or _around(orelse, symbol, event)
                if inner is not None:
                    return inner
                if _decides(guard, symbol) and (_has(then, event) or _has(orelse, event)):
                    return guard
            case Repeat(body=body, trips=trips):
                inner = _around(body, symbol, event)
                if inner is not None:
                    return inner
                if trips is not None and _decides(trips, symbol) and _has(body, event):
                    return trips
    return None


def _exit_before(term: Term, symbol: Symbol, event: Event) -> tuple[Guard | None, bool]:
    """The last condition with an arm that leaves, and whether the collective has been passed."""
    last: Guard | None = None
    for item in term:
        match item:
            case Event() if item is event:
                return last, True
            case Choice(guard=guard, then=then, orelse=orelse):
                if _decides(guard, symbol) and (_leaves(then) or _leaves(orelse)):
                    last = guard
                for arm in (then, orelse):
                    found, passed = _exit_before(arm, symbol, event)
                    last = found or last
                    if passed:
                        return last, True
            case Repeat(body=body):
                found, passed = _exit_before(body, symbol, event)
                last = found or last
                if passed:
                    return last, True
    return last, False


def _decides(guard: Guard, symbol: Symbol) -> bool:
    return guard.symbol is symbol and guard.own and bool(guard.varies)


def _leaves(term: Term) -> bool:
    return any(
        isinstance(item, Leave) or (isinstance(item, Choice) and (_leaves(item.then) or _leaves(item.orelse)))
        for item in term
    )


def _has(term: Term, event: Event) -> bool:
    for item in term:
        match item:
            case Event() if item is event:
                return True
            case Choice(then=then, orelse=orelse) if _has(then, event) or _has(orelse, event):
                return True
            case Repeat(body=body) if _has(body, event):
                return True
    return False
