"""Statistics of a traced job: calls, bytes and time by operation, group and site, and which ranks came last.

Most of the time in a collective is waiting for the last rank (verdict/meetings.py), so that rank slows the job down.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from collectivelint.printable import one_line

from ..quantities import amount, ranks_text, width
from ..traces.model import Numbering
from ..verdict import advice
from ..verdict.meetings import meetings
from ..verdict.slow_ranks import slow_ranks

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..traces.model import Event, Group, Trace
    from ..verdict.meetings import Meeting
    from ..verdict.slow_ranks import SlowRank


_STOPPED: Final = "ended when the tracer stopped the job"
#: How many ranks are listed.
_MOST: Final = 16


@dataclass(slots=True)
class Row:
    """The calls of one operation on one group from one call site. Times are in seconds, added up over all ranks.

    `waited`: until the last rank of the group arrived; `skew`: the longest time between the first and the last rank.
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
    """A rank: seconds in calls, how many of them it waited for other ranks, how often it came last, total delay."""

    seconds: float = 0.0
    waited: float = 0.0
    last: int = 0
    late: float = 0.0


@dataclass(frozen=True, slots=True)
class Head:
    """A rank's identity and how it ended; `calls` are recorded, `lost` ones were overwritten in the ring."""

    rank: int
    world_size: int
    pid: int
    host: str
    end: str
    error: str
    calls: int
    lost: int


@dataclass(slots=True)
class Numbers:
    """The statistics of a job, computed from a trace or from tables. Unfinished calls are counted and have no time."""

    heads: list[Head]
    #: By operation, group and site.
    rows: dict[tuple[str, str, str], Row]
    ranks: dict[int, Lateness]
    slow: list[SlowRank]

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
                    "rank": head.rank,
                    "pid": head.pid,
                    "host": head.host,
                    "end": head.end,
                    "error": head.error or None,
                    "seconds": self.ranks[head.rank].seconds,
                    "waited": self.ranks[head.rank].waited,
                    "last": self.ranks[head.rank].last,
                    "late": self.ranks[head.rank].late,
                }
                for head in self.heads
            ],
            "slow": [slow.as_dict() for slow in self.slow],
        }

    def sorted(self) -> list[Row]:
        """The rows, those with the most time first."""
        return sorted(self.rows.values(), key=lambda row: -row.seconds)

    def text(self, *, stopped: bool = False) -> Iterator[str]:
        """A text table: ranks, then calls. `stopped`: the launcher stopped the job."""
        return map(
            one_line, self._lines("no record of its end (killed, or still running)" if not stopped else _STOPPED)
        )

    def _lines(self, killed: str) -> Iterator[str]:
        for head in self.heads:
            ended = {
                "raised": f"raised {head.error}",
                "untraced": f"not recorded from there on, {head.error}",
                "running": killed,
            }.get(head.end, head.end)
            lost = f", the first {head.lost} overwritten" if head.lost else ""
            who = f"rank {head.rank} of {head.world_size}"
            yield f"{who}: {head.calls} call{'s' * (head.calls != 1)}{lost}; {ended} (pid {head.pid} on {head.host})"
        if not self.rows:
            return
        yield ""
        yield f"{'rank':>7} {'in calls [s]':>13} {'waited [s]':>11} {'was last':>9} {'late [s]':>10}"
        slowest = sorted(self.ranks.items(), key=lambda item: -item[1].late)
        for number, late in slowest[:_MOST]:
            yield f"{number:>7} {late.seconds:>13.3f} {late.waited:>11.3f} {late.last:>9} {late.late:>10.3f}"
        if len(slowest) > _MOST:
            yield f"        and {len(slowest) - _MOST} ranks that were less late"
        for slow in self.slow[:_MOST]:
            yield f"SLOW: {slow}"
        if self.slow:
            yield f"  what to change: {advice.of_slow(self.slow[0])}"
        yield ""
        heads = f"{'calls':>7} {'bytes':>9} {'in calls [s]':>13} {'waited [s]':>11} {'skew [s]':>9}"
        yield f"{heads}  {'ranks':<10} {'operation':<24} {'group':<28} site"
        for row in self.sorted():
            numbers = f"{row.calls:>7} {amount(row.bytes):>9} {row.seconds:>13.3f} {row.waited:>11.3f} {row.skew:>9.3f}"
            ranks = ranks_text(row.ranks).partition(" ")[2]
            yield f"{numbers}  {ranks:<10} {row.op:<24} {row.group:<28} {row.site}"


class Statistics(Numbers):
    """The statistics of a trace in memory. tables/analysis.py computes the same from tables; a test compares them."""

    def __init__(self, trace: Trace, met: Sequence[Meeting] | None = None) -> None:
        """Compute everything. `met`: the meetings of the trace, if already known."""
        met = meetings(trace) if met is None else met
        heads = [
            Head(number, rank.world_size, rank.pid, rank.host, rank.end, rank.error, len(rank.events), rank.lost)
            for number, rank in trace.ranks.items()
        ]
        super().__init__(heads, {}, {rank: Lateness() for rank in trace.ranks}, slow_ranks(trace, met))
        self._number = Numbering()
        self._names: dict[int, str] = {}
        self._by_call: dict[tuple[str, int, int], Row] = {}
        #: By the identity of signatures, which the trace keeps as well.
        sizes: dict[int, int] = {}
        for rank in trace.ranks.values():
            for event in rank.events:
                row = self._row(event)
                row.ranks.add(event.rank)
                row.calls += 1
                known = sizes.get(id(event.signature))
                if known is None:
                    known = sizes[id(event.signature)] = size(event.signature)
                row.bytes += known
                if event.end:
                    taken = max(0.0, event.end - event.start)
                    row.seconds += taken
                    self.ranks[event.rank].seconds += taken
        for meeting in met:
            self._meet(meeting)

    def _named(self, group: Group) -> str:
        """The name of a group in reports, cached since a group may have thousands of members."""
        number = self._number(group.key)
        named = self._names.get(number)
        if named is None:
            named = self._names[number] = str(group)
        return named

    def _row(self, event: Event) -> Row:
        # Ranks share operations and groups; places are those of a rank, which the trace keeps.
        call = (event.op, self._number(event.group.key), id(event.place))
        row = self._by_call.get(call)
        if row is None:
            key = (event.op, self._named(event.group), f"{event.place.path}:{event.place.line}")
            row = self._by_call[call] = self.rows.setdefault(key, Row(*key))
        return row

    def _meet(self, meeting: Meeting) -> None:
        last = self.ranks[meeting.last]
        last.last += 1
        last.late += meeting.late
        for rank, event in meeting.events.items():
            row = self._row(event)
            row.waited += meeting.waits[rank]
            row.skew = max(row.skew, meeting.skew)
            self.ranks[rank].waited += meeting.waits[rank]


def size(signature: Mapping[str, Any]) -> int:
    """Bytes of the tensors of a call; 0 if they are not recorded."""
    tensors = signature.get("tensors") or signature.get("sent") or []
    return sum(math.prod(shape) * width(dtype) for shape, dtype in tensors)
