"""Slow ranks: which rank the others wait for, how often, at which call, for how long, and since when.

A job runs at the pace of the rank that arrives last. A rank is slow if it is last more often than by chance, and its
total delay is a large enough share of the time in the calls.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from collectivelint.printable import one_line

from ..traces.model import Numbering
from .meetings import meetings

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..traces.model import Event, Trace
    from .meetings import Meeting

#: Of the calls at one place, the share in which a slow rank is last.
SHARE: Final = 0.75
#: By how many standard deviations that is more than chance, which makes each rank of the group last equally often.
DEVIATIONS: Final = 4.5
#: How late it comes in all, as a share of the time from the first to the last of these calls.
COST: Final = 0.02
#: Seconds by which a rank comes late that say nothing: less than a scheduler's slice.
NOISE_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class SlowRank:
    """A rank that came last in `last` of `calls` collectives at one call site, with a total delay of `late` seconds.

    `event`: its first late call there, from which on `calls` are counted; `was_on_time`: whether calls before it are
    recorded and were on time. `before`: the call that it made before its latest one, None if there was none.
    """

    rank: int
    event: Event
    calls: int
    last: int
    late: float
    was_on_time: bool
    before: Event | None

    def __str__(self) -> str:
        """One line: `rank 3 is slow: it came last in 96 of 100 calls of all_reduce at train.py:52 on the default group {0,1,2,3} ...`."""
        way = f"; {self.way}" if self.way else ""
        return one_line(
            f"{self._often} on the {self.event.group}{self._since}, {self.late:.2f} s behind the other ranks in all of these{way}"
        )

    @property
    def in_short(self) -> str:
        """In short: `rank 3 is slow: it came last in 96 of 100 calls of ..., 4.80 s behind in all`."""
        return one_line(f"{self._often}{self._since}, {self.late:.2f} s behind in all")

    @property
    def way(self) -> str:
        """`its time goes between broadcast at train.py:50 and that call`; "" if it made no call before."""
        event, before = self.event, self.before
        if before is None:
            return ""
        is_same = _site(before) == _site(event)
        between = "one of these calls and the next" if is_same else f"{before.op} at {_site(before)} and that call"
        return one_line(f"its time goes between {between}")

    @property
    def _often(self) -> str:
        return f"rank {self.rank} is slow: it came last in {self.last} of {self.calls} calls of {self.event.op} at {_site(self.event)}"

    @property
    def _since(self) -> str:
        return f" since #{self.event.sequence}" if self.was_on_time else ""

    def as_dict(self) -> dict[str, Any]:
        """As plain data; `late` in seconds."""
        return {
            "rank": self.rank,
            "op": self.event.op,
            "group": list(self.event.group.ranks),
            "site": _site(self.event),
            "calls": self.calls,
            "last": self.last,
            "late": round(self.late, 6),
            "since": self.event.sequence if self.was_on_time else None,
            "comes_from": _site(self.before) if self.before is not None else None,
        }


def slow_ranks(trace: Trace, met: Sequence[Meeting] | None = None) -> list[SlowRank]:
    """The ranks that are repeatedly late at some call, the most expensive first; one entry for each rank and group.

    `met`: the meetings of the trace, if already known.
    """
    places: defaultdict[tuple[int, str, str, int], list[Meeting]] = defaultdict(list)
    number = Numbering()
    for meeting in meetings(trace) if met is None else met:
        event = meeting.events[meeting.last]
        places[(number(event.group.key), event.op, event.place.path, event.place.line)].append(meeting)
    found: dict[tuple[int, int], SlowRank] = {}
    for (group, *_), calls in places.items():
        for slow in _slow(trace, calls):
            key = (slow.rank, group)
            if key not in found or found[key].late < slow.late:
                found[key] = slow
    return sorted(found.values(), key=lambda slow: -slow.late)


def _slow(trace: Trace, calls: list[Meeting]) -> Iterator[SlowRank]:
    by_rank: defaultdict[int, list[int]] = defaultdict(list)
    for position, meeting in enumerate(calls):
        if meeting.late > NOISE_S:
            by_rank[meeting.last].append(position)
    for rank, positions in by_rank.items():
        since = _onset(positions, len(calls))
        some = calls[since:]
        last = [calls[position] for position in positions if position >= since]
        late = sum(meeting.late for meeting in last)
        if not last or not _is_no_chance(len(last), len(some), len(some[0].order)):
            continue
        began = min(event.start for event in some[0].events.values())
        lasted = max(event.end for event in some[-1].events.values()) - began
        if late >= COST * lasted:
            latest = max(last, key=lambda meeting: meeting.late).events[rank]
            yield SlowRank(rank, last[0].events[rank], len(some), len(last), late, since > 0, _before(trace, latest))


def _is_no_chance(last: int, calls: int, ranks: int) -> bool:
    """Whether a rank was last too often for chance, given the number of calls and ranks."""
    expected = calls / ranks
    return last >= SHARE * calls and last - expected >= DEVIATIONS * math.sqrt(expected * (1 - 1 / ranks))


def _onset(positions: list[int], count: int) -> int:
    """The index from which on the rank is late, of `count` calls. `positions`: the late calls.

    It is the split with the fewest late calls before it and punctual ones after it.
    """
    # Each call before the onset in which it was late counts against it, and each behind it in which it was not.
    late = frozenset(positions)
    best, wrong = 0, count - len(late)
    fewest = wrong
    for position in range(count):
        wrong += 1 if position in late else -1
        if wrong < fewest:
            best, fewest = position + 1, wrong
    return best


def _before(trace: Trace, event: Event) -> Event | None:
    """The call before an event on its rank, of the same thread."""
    earlier = [
        other
        for other in trace.ranks[event.rank].events
        if other.number < event.number and other.thread == event.thread
    ]
    return earlier[-1] if earlier else None


def _site(event: Event) -> str:
    return f"{event.place.path}:{event.place.line}"
