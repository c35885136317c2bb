"""A call that exceeded its group's timeout because a rank was slow: no deadlock, since that rank might have arrived."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from ..traces.model import State
from . import endings
from .model import Divergence, Side
from .rules import orders_text
from .wait_graph import Counts, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..traces.model import Event, Rank, Trace

#: Seconds by which clocks and records may differ.
_CLOSE: Final = 0.05


def timed_out(trace: Trace) -> Divergence | None:
    """The first call in a finished job whose timeout ended a rank; None if there is none.

    Its sides are the ranks that waited, then those that had not made the call by then, with where they were.
    """
    found = list(_timeouts(trace))
    if not found:
        return None
    when, first = min(found, key=lambda item: item[0])
    counts = Counts(trace)
    call = counts.call(first)
    together = [event for rank in trace.ranks.values() for event in rank.events if counts.call(event) == call]
    waited = [event for event in together if event.start < when - _CLOSE]
    after = [event for event in together if event not in waited]
    sides = [Side(tuple(event.rank for event in waited), first, "waited in")]
    sides += [_slow(trace.ranks[member], first) for member in counts.missing(first)]
    sides += [Side((event.rank,), event, f"called it {event.start - when:.1f} s after that:") for event in after]
    rule, notes = "", []
    if len(sides) == 1:
        notes.append("every rank of the group had made the call")
        if orders := _crossing(trace, waited, counts):
            rule = "CL206"
            notes.append(orders)
    shown = tuple(merged(sides))
    return Divergence("timeout", first.group, first.sequence, first.op, shown, when - first.start, rule, tuple(notes))


def _timeouts(trace: Trace) -> Iterator[tuple[float, Event]]:
    for rank in trace.ranks.values():
        last = rank.events[-1] if rank.events else None
        for event in (*rank.blocked, *((last,) if last is not None and last.state is not State.DONE else ())):
            if (when := endings.timeout(rank, event)) is not None:
                yield when, event


def _crossing(trace: Trace, waited: list[Event], counts: Counts) -> str:
    """Ranks that began two unfinished calls on two groups in different orders, as text; "" if all began them alike.

    Calls of different threads have no order.
    """
    orders: defaultdict[object, dict[bool, list[Event]]] = defaultdict(lambda: {True: [], False: []})
    for event in waited:
        for other in trace.ranks[event.rank].events:
            if other.group.key != event.group.key and other.state < State.DONE and other.thread == event.thread:
                orders[counts.call(other)][event.number < other.number].append(other)
    for before in orders.values():
        if before[True] and before[False]:
            here, there = waited[0].group, before[True][0].group
            return orders_text([event.rank for event in before[True]], here, [e.rank for e in before[False]], there)
    return ""


def _slow(rank: Rank, first: Event) -> Side:
    """Where a rank was that had not made the call; a stack recorded before this wait began is not used."""
    ended = endings.state(rank, over=True)
    after = f"; then it {ended}" if rank.end != "finished" else ""
    if not rank.stack or rank.stack_time < first.start:
        return Side((rank.rank,), rank.events[-1] if rank.events else None, f"had not called it{after}")
    into = rank.stack_time - first.start
    does = f", where it {rank.activity}" if rank.activity is not None else ""
    state = f"had not called it, {into:.1f} s into the wait it was here{does}{after}"
    return Side((rank.rank,), None, state, rank.stack, activity=rank.activity)
