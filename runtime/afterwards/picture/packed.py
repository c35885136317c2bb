"""The calls of a job as packed columns, from which a script draws the lanes of the page."""

from __future__ import annotations

import base64
import sys
import zlib
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...traces.model import Numbering, State
from ...verdict.meetings import offsets
from .named import compact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...traces.model import Event, StreamKey, Trace
    from ...verdict.meetings import Meeting
    from ...verdict.model import Divergence

#: Bits of a call's flags, as calls.js has them.
OPEN, ASYNC, LAST, DIVERGED, PAIR, FAILED = 1, 2, 4, 8, 16, 32
#: The shortest unit of time in seconds; it is longer where a run does not fit into 32 bits of it.
_TICK_S: Final = 1e-6
#: So many sides of a divergence have lanes of their own, and so many ranks of each.
_SIDES, _OF_A_SIDE = 8, 3
MOST: Final = 2**32 - 1
UINT: Final = next(code for code in "IL" if array(code).itemsize == 4)


@dataclass(frozen=True, slots=True)
class Marked:
    """What the lanes highlight: the ranks that the first side of a divergence waits for, or the slow rank.

    `kinds`: the kinds of groups by name.
    """

    lacks: tuple[int, ...]
    slow: int | None
    kinds: Mapping[str, str]


@dataclass(slots=True)
class Table:
    """Distinct values, numbered in order of first use."""

    numbers: dict[Any, int] = field(default_factory=dict)

    def __call__(self, value: Any) -> int:
        """The index of a value."""
        return self.numbers.setdefault(value, len(self.numbers))


class Source(Protocol):
    """Where the calls of a page come from: a trace in memory, or rings (packed_columns.py)."""

    def latest(self) -> tuple[Event, float] | None:
        """The call that came last with the longest delay, and the delay in seconds; None if none ended on all ranks."""

    def packed(self, found: Divergence | None, marked: Marked) -> dict[str, Any]:
        """The packed columns, see `packed` below. `found`: the divergence of the job."""


@dataclass(frozen=True, slots=True)
class FromTrace:
    """The calls of a trace, with the meetings in it."""

    trace: Trace
    met: Sequence[Meeting]

    def latest(self) -> tuple[Event, float] | None:
        """See Source."""
        found = max(self.met, key=lambda meeting: meeting.late, default=None)
        return (found.events[found.last], found.late) if found is not None else None

    def packed(self, found: Divergence | None, marked: Marked) -> dict[str, Any]:
        """See Source."""
        return packed(self.trace, found, self.met, marked)


def packed(trace: Trace, found: Divergence | None, met: Sequence[Meeting], marked: Marked) -> dict[str, Any]:
    """Plain data for JSON: tables, and columns that are deflated and in base64.

    Each column has one entry per call (32 bits, little-endian), ordered by rank, then by start. Times are in ticks:
    "start" since the previous call of the rank began, "wait" until the last rank arrived, "took" until the call or the
    record ended. "late": for a call that came last, its delay behind the one before it. "what" is an index into
    "whats": [op, group, site, stack]. "groups": name and kind. "since": the start of the first drawn call, in seconds
    since the first one of the job; "of": the number of calls of the job, which may be too many for a page. `met`: the
    meetings of the trace.
    """
    shift = offsets(trace)
    times = [
        time - shift[rank.rank]
        for rank in trace.ranks.values()
        for e in rank.events
        for time in (e.start, e.end)
        if time
    ]
    first, last = min(times, default=0.0), max(times, default=0.0)
    last, tick = scale(first, last, found, shift)
    waits, late, at = _arrivals(met, shift, marked.slow)
    diverged = calls_of(found)
    # A stream is hashed with all members of its group: only for the few calls that have the number of one of these.
    numbers = {sequence for _, _, sequence in diverged}
    ops, sites, stacks, whats = Table(), Table(), Table(), Table()
    number = Numbering()
    labels: list[list[str]] = []
    columns = {name: array(UINT) for name in ("start", "wait", "took", "late", "what", "sequence", "flags")}
    counts, stuck = [], []
    for rank in trace.ranks.values():
        offset, before = shift[rank.rank] + first, 0
        events = sorted(rank.events, key=lambda event: event.start)
        counts.append(len(events))
        for event in events:
            group = number(event.group.key)
            if group == len(labels):
                name = str(event.group)
                labels.append([compact(name), marked.kinds.get(name, name)])
            start = max(before, round((event.start - offset) / tick))
            is_open = not event.end
            ended = max(start, round(((last - first) if is_open else event.end - offset) / tick))
            columns["start"].append(start - before)
            columns["took"].append(ended - start)
            columns["wait"].append(
                ended - start
                if (is_open and not event.is_async) or event.state is State.FAILED
                else min(ended - start, round(waits.get((event.rank, event.number), 0.0) / tick))
            )
            # A call without a start, of a damaged trace, may come last by more than the run is long.
            columns["late"].append(min(MOST, round(late.get((event.rank, event.number), 0.0) / tick)))
            place = event.place
            site = sites(f"{place.path}:{place.line}")
            columns["what"].append(whats((ops(event.op), group, site, stacks(place.stack))))
            # As a ring has it: dumps of the Flight Recorder have numbers of 64 bits.
            columns["sequence"].append(event.sequence & MOST)
            columns["flags"].append(
                OPEN * is_open
                + ASYNC * event.is_async
                + LAST * ((event.rank, event.number) in late)
                + DIVERGED * (event.sequence in numbers and (event.rank, event.stream, event.sequence) in diverged)
                + PAIR * (event.kind != "collective")
                + FAILED * (event.state is State.FAILED)
            )
            if columns["flags"][-1] & DIVERGED:
                stuck.append(event.start - shift[event.rank])
            before = start
    if found is not None:
        at = max(stuck, default=when_reached(found, shift))
    return {
        "tick": tick,
        "end": round((last - first) / tick),
        "at": max(0, round((at - first) / tick)) if at else None,
        "since": 0.0,
        "of": sum(counts),
        **of_verdict(trace, found, marked),
        "counts": counts,
        "ops": list(ops.numbers),
        "groups": labels,
        "sites": list(sites.numbers),
        "stacks": list(stacks.numbers),
        "whats": list(whats.numbers),
        "columns": {name: text(column) for name, column in columns.items()},
    }


def scale(first: float, last: float, found: Divergence | None, shift: Mapping[int, float]) -> tuple[float, float]:
    """The time at which the page ends, and the length of a tick, both in seconds.

    `first` and `last` are the times of the first and last call.
    """
    if found is not None:
        last = max(last, min(last + found.waited, when_reached(found, shift) + found.waited))
    # A call that is stuck is open to the right: it needs room to be seen in.
    span = last - first
    last += max(0.02 * span, min(1.0, 0.25 * span) if found is not None and not found.waited else 0.0, 1e-3)
    return last, max(_TICK_S, (last - first) / (MOST - 1))


def of_verdict(trace: Trace, found: Divergence | None, marked: Marked) -> dict[str, Any]:
    """The ranks and the verdict, in the form that the lanes need."""
    return {
        "diverged": found is not None,
        "named": _named(trace, found, marked.slow),
        "lacks": _positions(trace, marked.lacks),
        # As in the title: what rounds to 0.0 s is not said.
        "waited": found.waited if found is not None and found.waited >= 0.05 else 0.0,
        "ranks": list(trace.ranks),
        "hosts": [rank.host for rank in trace.ranks.values()],
    }


def _arrivals(
    met: Sequence[Meeting], shift: dict[int, float], slow: int | None
) -> tuple[dict[tuple[int, int], float], dict[tuple[int, int], float], float]:
    """Seconds that each call waited, seconds by which a call came last, and the start of the latest call.

    If there is a slow rank, only its calls count for the third.
    """
    waits: dict[tuple[int, int], float] = {}
    lasts: dict[tuple[int, int], float] = {}
    at, latest = 0.0, 0.0
    for meeting in met:
        event = meeting.events[meeting.last]
        lasts[(event.rank, event.number)] = meeting.late
        for rank, seconds in meeting.waits.items():
            if seconds:
                waits[(rank, meeting.events[rank].number)] = seconds
        if meeting.late > latest and slow in (None, event.rank):
            at, latest = event.start - shift[event.rank], meeting.late
    return waits, lasts, at


def calls_of(found: Divergence | None) -> set[tuple[int, StreamKey, int]]:
    """The calls of the divergence: rank, stream and sequence. A side that waits in no call has none."""
    return {
        (rank, side.event.stream, side.event.sequence)
        for side in (found.sides if found is not None else ())
        if side.event is not None and side.state.startswith(("wait", "call"))
        for rank in side.ranks
    }


def _named(trace: Trace, found: Divergence | None, slow: int | None) -> list[int]:
    """Positions of the ranks that have lanes of their own: the first ones of each side, or the slow rank."""
    sides = found.sides[:_SIDES] if found is not None else ()
    return _positions(trace, [rank for side in sides for rank in side.ranks[:_OF_A_SIDE]] or [slow])


def _positions(trace: Trace, ranks: Iterable[int | None]) -> list[int]:
    positions = {rank: position for position, rank in enumerate(trace.ranks)}
    return [positions[rank] for rank in ranks if rank is not None and rank in positions]


def when_reached(found: Divergence, shift: Mapping[int, float]) -> float:
    """When the last of the waiting ranks made its call, by the common clock."""
    events: list[Event] = [side.event for side in found.sides if side.event is not None and not side.is_consequence]
    return max(
        (event.start - shift.get(event.rank, 0.0) for event in events if event.state is not State.DONE),
        default=max((event.start - shift.get(event.rank, 0.0) for event in events), default=0.0),
    )


def text(column: array[int]) -> str:
    """A column deflated and in base64."""
    if sys.byteorder == "big":
        column.byteswap()
    return base64.b64encode(zlib.compress(column.tobytes(), 6)).decode()
