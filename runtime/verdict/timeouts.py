"""A call that took longer than its group allows because a rank was slow: no deadlock, since that rank might have come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..traces.model import State
from . import endings
from .model import Divergence, Side
from .wait_graph import Counts, merged, timeout

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..traces.model import Event, Rank, Trace

#: Seconds by which clocks and records may differ.
_CLOSE: Final = 0.05


def timed_out(trace: Trace) -> Divergence | None:
    """The first call of a job that is over which ended a rank by its timeout; None if there was none.

    Its sides are the ranks that waited, then those that had not made the call by then, with where they were.
    """
    found = list(_timeouts(trace))
    if not found:
        return None
    when, first = min(found, key=lambda item: item[0])
    counts = Counts(trace)
    late = counts.missing(first)
    together = [
        event
        for rank in trace.ranks.values()
        for event in rank.events
        if counts.call(event) == counts.call(first) and event.state is not State.REJECTED
    ]
    waited = [event for event in together if event.start < when - _CLOSE]
    after = [event for event in together if event not in waited]
    sides = [Side(tuple(event.rank for event in waited), first, "waited in")]
    sides += [_slow(trace.ranks[member], first) for member in late]
    sides += [Side((event.rank,), event, f"called it {event.start - when:.1f} s after that:") for event in after]
    return Divergence(
        "timeout", first.group, first.sequence, first.op, tuple(merged(sides)), when - first.start, "", _notes(sides)
    )


def _timeouts(trace: Trace) -> Iterator[tuple[float, Event]]:
    for rank in trace.ranks.values():
        last = rank.events[-1] if rank.events else None
        if last is not None and last.state is not State.DONE and (when := timeout(rank, last)) is not None:
            yield when, last


def _slow(rank: Rank, first: Event) -> Side:
    """Where a rank was that had not made the call; the answer to an earlier question than this wait's is of no use."""
    ended = endings.state(rank, over=True)
    after = f"; then it {ended}" if rank.end != "finished" else ""
    if not rank.stack or rank.stack_time < first.start:
        return Side((rank.rank,), rank.events[-1] if rank.events else None, f"had not called it{after}")
    into = rank.stack_time - first.start
    return Side((rank.rank,), None, f"had not called it, {into:.1f} s into the wait it was here{after}", rank.stack)


def _notes(sides: list[Side]) -> tuple[str, ...]:
    return () if len(sides) > 1 else ("all ranks of the group had made the call",)
