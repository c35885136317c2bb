"""Collectives that every rank of their group has made: when each rank came to them, and which came last.

A collective ends on all ranks at about the same moment, but begins when each of them reaches it. So what a rank spends in a
call is mostly waiting for the last one.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..operations import SYNCHRONISING
from ..traces.model import Numbering, State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..traces.model import Event, Trace


@dataclass(frozen=True, slots=True)
class Meeting:
    """One collective: the events of all members of its group, and the ranks in the order in which they came.

    `late`: seconds between the last rank and the one before it; `skew`: between the first and the last.
    """

    events: Mapping[int, Event]
    order: tuple[int, ...]
    late: float
    skew: float
    #: Seconds that each rank spent in the call before the last one was there; 0.0 where it does not wait in it.
    waits: Mapping[int, float]

    @property
    def last(self) -> int:
        """The rank that came last."""
        return self.order[-1]


def meetings(trace: Trace) -> list[Meeting]:
    """The collectives that are recorded on all ranks of their group and have ended there, in the order in which they ended."""
    shift = offsets(trace)
    met: defaultdict[tuple[int, int], list[Event]] = defaultdict(list)
    number = Numbering()
    for rank in trace.ranks.values():
        for event in rank.events:
            if event.kind == "collective":
                met[(number(event.group.key), event.sequence)].append(event)
    complete = [
        events
        for events in met.values()
        if len(events) == len(events[0].group.ranks) > 1 and all(event.state is State.DONE for event in events)
    ]
    complete.sort(key=lambda events: events[0].end - shift[events[0].rank])
    return [_meeting(events, shift) for events in complete]


def _meeting(events: list[Event], shift: Mapping[int, float]) -> Meeting:
    starts = {event.rank: event.start - shift[event.rank] for event in events}
    order = tuple(sorted(starts, key=lambda rank: starts[rank]))
    latest = starts[order[-1]]
    return Meeting(
        events={event.rank: event for event in events},
        order=order,
        late=latest - starts[order[-2]],
        skew=latest - starts[order[0]],
        waits={
            # A rank does not wait in an asynchronous call.
            event.rank: 0.0 if event.is_async else min(latest - starts[event.rank], max(0.0, event.end - event.start))
            for event in events
        },
    )


def offsets(trace: Trace) -> dict[int, float]:
    """By how much (in seconds) each rank's clock is ahead of that of the first rank's host.

    Ranks of one host share a clock. Those of another host leave the collectives of all ranks at the same moments as the
    first rank does; what their clocks say instead is the difference, in the median.
    """
    if not trace.ranks:
        return {}
    reference = next(iter(trace.ranks.values()))
    number = Numbering()
    ends = {(number(event.group.key), event.sequence): event.end for event in reference.events if _is_common(event)}
    by_host: defaultdict[str, list[float]] = defaultdict(list)
    for rank in trace.ranks.values():
        if rank.host != reference.host:
            by_host[rank.host] += [
                event.end - ends[call]
                for event in rank.events
                if _is_common(event) and (call := (number(event.group.key), event.sequence)) in ends
            ]
    shift = {host: statistics.median(differences) if differences else 0.0 for host, differences in by_host.items()}
    return {number: shift.get(rank.host, 0.0) for number, rank in trace.ranks.items()}


def _is_common(event: Event) -> bool:
    """Whether a rank leaves this call only when all others are there."""
    return event.kind == "collective" and event.state is State.DONE and not event.is_async and event.op in SYNCHRONISING
