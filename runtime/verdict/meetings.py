"""Collectives that every rank of their group made: when each rank arrived, and which was last.

A collective ends on all ranks at about the same time, but begins when each of them arrives. So the time a rank spends
in a call is mostly waiting for the last one.
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
    """One collective: the events of all members of its group, and the ranks in order of arrival.

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
        """The rank that arrived last."""
        return self.order[-1]


def meetings(trace: Trace) -> list[Meeting]:
    """The collectives that are recorded and have ended on all ranks of their group, in the order of their ends."""
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
    """Seconds by which each rank's clock is ahead of the clock of the first rank's host.

    Ranks of one host share a clock. Ranks of another host leave the collectives of all ranks at the same time as the
    first rank; the offset is the median difference of the recorded ends.
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
    """Whether a rank leaves this call only once all other ranks have entered it."""
    return event.kind == "collective" and event.state is State.DONE and not event.is_async and event.op in SYNCHRONISING
