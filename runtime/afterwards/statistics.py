"""What a traced job did in numbers: calls, bytes and time by operation, group and site; who was waited for.

A collective ends on all ranks at about the same moment, but begins when each of them gets there. So what a rank spends in a
call is mostly waiting for the last one, and who is last is what makes a job slow.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from collectivelint.printable import one_line

from ..operations import SYNCHRONISING
from ..quantities import amount, ranks_text, width
from ..traces.model import State

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..traces.model import Event, StreamKey, Trace


@dataclass(slots=True)
class Row:
    """The calls of one operation on one group from one place. Times in seconds, of all ranks together.

    `waited`: until the last rank of the group was there; `skew`: the longest time between the first and the last rank.
    """

    op: str
    group: str
    site: str
    ranks: set[int] = field(default_factory=set)
    calls: int = 0
    bytes: int = 0
    seconds: float = 0.0
    waited: float = 0.0
    skew: float = 0.0


@dataclass(slots=True)
class Lateness:
    """A rank: seconds in calls, seconds of these that it waited for others, how often it was last, and how late in all."""

    seconds: float = 0.0
    waited: float = 0.0
    last: int = 0
    late: float = 0.0


class Statistics:
    """The numbers of a trace. Calls that did not end are counted and have no time."""

    def __init__(self, trace: Trace) -> None:
        """Count everything."""
        self.trace = trace
        self.rows: dict[tuple[str, str, str], Row] = {}
        self.ranks: dict[int, Lateness] = {rank: Lateness() for rank in trace.ranks}
        shift = offsets(trace)
        met: defaultdict[tuple[StreamKey, int], list[Event]] = defaultdict(list)
        for rank in trace.ranks.values():
            for event in rank.events:
                row = self._row(event)
                row.ranks.add(event.rank)
                row.calls += 1
                row.bytes += size(event.signature)
                if event.end:
                    taken = max(0.0, event.end - event.start)
                    row.seconds += taken
                    self.ranks[event.rank].seconds += taken
                if event.kind == "collective":
                    met[(event.stream, event.sequence)].append(event)
        for events in met.values():
            # Of a call that not everybody's record has, nobody knows who was last.
            if len(events) == len(events[0].group.ranks) > 1 and all(event.state is State.DONE for event in events):
                self._meet(events, shift)

    def _row(self, event: Event) -> Row:
        key = (event.op, str(event.group), f"{event.place.path}:{event.place.line}")
        return self.rows.setdefault(key, Row(*key))

    def _meet(self, events: list[Event], shift: Mapping[int, float]) -> None:
        starts = {event.rank: event.start - shift[event.rank] for event in events}
        last = max(starts, key=lambda rank: starts[rank])
        first, second, *_ = sorted(starts.values(), reverse=True)
        self.ranks[last].last += 1
        self.ranks[last].late += first - second
        skew = first - min(starts.values())
        for event in events:
            # An asynchronous call is not waited in.
            waited = 0.0 if event.is_async else min(first - starts[event.rank], max(0.0, event.end - event.start))
            row = self._row(event)
            row.waited += waited
            row.skew = max(row.skew, skew)
            self.ranks[event.rank].waited += waited

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "calls": [
                {
                    "op": row.op,
                    "group": row.group,
                    "site": row.site,
                    "ranks": sorted(row.ranks),
                    "calls": row.calls,
                    "bytes": row.bytes,
                    "seconds": row.seconds,
                    "waited": row.waited,
                    "skew": row.skew,
                }
                for row in self.sorted()
            ],
            "ranks": [
                {
                    "rank": number,
                    "pid": rank.pid,
                    "host": rank.host,
                    "end": rank.end,
                    "error": rank.error or None,
                    "seconds": self.ranks[number].seconds,
                    "waited": self.ranks[number].waited,
                    "last": self.ranks[number].last,
                    "late": self.ranks[number].late,
                }
                for number, rank in self.trace.ranks.items()
            ],
        }

    def sorted(self) -> list[Row]:
        """The rows, the most time first."""
        return sorted(self.rows.values(), key=lambda row: -row.seconds)

    def text(self, *, stopped: bool = False) -> Iterator[str]:
        """In a screenful: ranks, then calls. `stopped`: the launcher has stopped the job."""
        return map(
            one_line, self._lines("no record of its end (killed, or still running)" if not stopped else _STOPPED)
        )

    def _lines(self, killed: str) -> Iterator[str]:
        for number, rank in self.trace.ranks.items():
            ended = {
                "raised": f"raised {rank.error}",
                "untraced": f"not recorded from there on, {rank.error}",
                "running": killed,
            }.get(rank.end, rank.end)
            lost = f", the first {rank.lost} overwritten" if rank.lost else ""
            who = f"rank {number} of {rank.world_size}"
            yield f"{who}: {len(rank.events)} calls{lost}; {ended} (pid {rank.pid} on {rank.host})"
        if not self.rows:
            return
        yield ""
        yield f"{'rank':>7} {'in calls':>9} {'waited':>9} {'was last':>9} {'late':>9}"
        slowest = sorted(self.ranks.items(), key=lambda item: -item[1].late)
        for number, late in slowest[:_MOST]:
            yield f"{number:>7} {late.seconds:>9.3f} {late.waited:>9.3f} {late.last:>9} {late.late:>9.3f}"
        if len(slowest) > _MOST:
            yield f"        and {len(slowest) - _MOST} ranks that were less late"
        yield ""
        heads = f"{'calls':>7} {'bytes':>9} {'seconds':>9} {'waited':>9} {'skew':>8}"
        yield f"{heads}  {'ranks':<10} {'operation':<24} {'group':<28} site"
        for row in self.sorted():
            numbers = f"{row.calls:>7} {amount(row.bytes):>9} {row.seconds:>9.3f} {row.waited:>9.3f} {row.skew:>8.3f}"
            ranks = ranks_text(row.ranks).partition(" ")[2]
            yield f"{numbers}  {ranks:<10} {row.op:<24} {row.group:<28} {row.site}"


_STOPPED: Final = "ended when the tracer stopped the job"
#: How many ranks are listed.
_MOST: Final = 16


def offsets(trace: Trace) -> dict[int, float]:
    """By how much (in seconds) each rank's clock is ahead of that of the first rank's host.

    Ranks of one host share a clock. Those of another host leave the collectives of all ranks at the same moments as the
    first rank does; what their clocks say instead is the difference, in the median.
    """
    if not trace.ranks:
        return {}
    reference = next(iter(trace.ranks.values()))
    ends = {(event.stream, event.sequence): event.end for event in reference.events if _is_common(event)}
    by_host: defaultdict[str, list[float]] = defaultdict(list)
    for rank in trace.ranks.values():
        if rank.host != reference.host:
            by_host[rank.host] += [
                event.end - ends[(event.stream, event.sequence)]
                for event in rank.events
                if _is_common(event) and (event.stream, event.sequence) in ends
            ]
    shift = {host: statistics.median(differences) if differences else 0.0 for host, differences in by_host.items()}
    return {number: shift.get(rank.host, 0.0) for number, rank in trace.ranks.items()}


def _is_common(event: Event) -> bool:
    """Whether a rank leaves this call only when all others are there."""
    return event.kind == "collective" and event.state is State.DONE and not event.is_async and event.op in SYNCHRONISING


def size(signature: Mapping[str, Any]) -> int:
    """Bytes of the tensors of a call, as far as they are known."""
    tensors = signature.get("tensors") or signature.get("sent") or []
    return sum(math.prod(shape) * width(dtype) for shape, dtype in tensors)
