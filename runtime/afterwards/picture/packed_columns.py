"""The packed columns of packed.py for a job of millions of calls, read from one ring after the other."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ...traces import columns
from ...traces.model import State
from ...traces.ring import KINDS, TraceError
from . import packed
from .named import compact

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...traces.columns import Calls, Catalog, Column
    from ...traces.model import Event, Trace
    from ...traces.reader import Reader
    from ...verdict.model import Divergence
    from ...verdict.reduced import Reduced
    from ..tables.arrivals import Arrivals
    from .packed import Marked

#: So many calls are drawn, give or take those that begin at the same moment; of more, those around what the page opens at.
MOST: Final = 2_000_000
#: The share of them that stands before that.
_BEFORE: Final = 0.75
_COLLECTIVE: Final = KINDS.index("collective")
_NAMES: Final = ("start", "wait", "took", "late", "what", "sequence", "flags")


@dataclass(slots=True)
class FromRings:
    """The calls in rings, with the arrivals at them. `trace`: the ranks with the calls that the verdict rests on."""

    readers: Mapping[int, Reader]
    trace: Trace
    arrivals: Arrivals
    part: Reduced

    def latest(self) -> tuple[Event, float] | None:
        """See Source."""
        at = int(np.argmax(self.arrivals.late))
        events = self._event(int(self.arrivals.last[at]), int(self.arrivals.number[at])) if at else ()
        return (events[0], float(self.arrivals.late[at])) if events else None

    def _event(self, rank: int, number: int) -> tuple[Event, ...]:
        return tuple(event for event in self.readers[rank].of([number]).events if event.number == number)

    def packed(self, found: Divergence | None, marked: Marked) -> dict[str, Any]:
        """See Source."""
        shift = {rank: self.arrivals.shift.get(rank, 0.0) for rank in self.trace.ranks}
        times = [
            (one - shift[rank], other - shift[rank]) for rank, (one, other) in self.part.times.items() if one <= other
        ]
        first, last = min((one for one, _ in times), default=0.0), max((one for _, one in times), default=0.0)
        at = self._at(found, marked, shift)
        starts = np.sort(np.concatenate([self.part.starts[rank] - shift[rank] for rank in self.trace.ranks]))
        begin, end = _window(starts, at)
        begin, end = max(first, begin), min(last, end)
        stop, tick = packed.scale(begin, end, found if end == last else None, shift)
        made = _Packed(
            columns.Catalog(self.arrivals.groups),
            self.arrivals,
            marked.kinds,
            begin,
            stop,
            tick,
            packed.calls_of(found),
        )
        counts = []
        for rank in self.trace.ranks:
            try:
                calls = columns.of_reader(self.readers[rank], made.catalog)
                self.readers[rank].release()
            except TraceError:
                # It could be read before; it is another's by now.
                calls = columns.of_rank(self.trace.ranks[rank], made.catalog)
            counts.append(made.add(rank, calls, shift[rank], (begin, end)))
        if found is not None and made.stuck:
            at = max(made.stuck)
        return {
            "tick": tick,
            "end": round((stop - begin) / tick),
            "at": max(0, round((at - begin) / tick)) if at else None,
            "since": begin - first,
            "of": len(starts),
            **packed.of_verdict(self.trace, found, marked),
            "counts": counts,
            **made.tables(),
            "columns": {name: packed.text(array(packed.UINT, made.columns[name])) for name in _NAMES},
        }

    def _at(self, found: Divergence | None, marked: Marked, shift: Mapping[int, float]) -> float:
        """The time at which the page opens: the divergence, or the slow rank's latest call; 0.0 if there is neither."""
        if found is not None:
            return packed.when_reached(found, shift)
        late = self.arrivals.late.copy()
        if marked.slow is not None:
            late[self.arrivals.last != marked.slow] = 0.0
        at = int(np.argmax(late))
        return float(self.arrivals.latest[at]) if late[at] > 0 else 0.0


def _window(starts: Column, at: float) -> tuple[float, float]:
    """The start and end of the time window that is drawn, around `at`. `starts`: of all calls, ascending."""
    if len(starts) <= MOST:
        return -np.inf, np.inf
    here = int(np.searchsorted(starts, at))
    low = min(max(0, here - int(_BEFORE * MOST)), len(starts) - MOST)
    return float(starts[low]), float(starts[low + MOST]) if low + MOST < len(starts) else np.inf


class _Packed:
    """The columns so far, as bytes, and the tables that they index."""

    def __init__(
        self,
        catalog: Catalog,
        arrivals: Arrivals,
        kinds: Mapping[str, str],
        begin: float,
        stop: float,
        tick: float,
        diverged: set[Any],
    ) -> None:
        """`begin` and `stop`: the time window, in seconds of the common clock.

        `diverged`: see packed.calls_of; `kinds`: the kinds of the groups.
        """
        self.catalog, self._arrivals, self._kinds = catalog, arrivals, kinds
        self._begin, self._stop, self._tick = begin, stop, tick
        self._diverged = diverged
        self.columns = {name: bytearray() for name in _NAMES}
        #: When the calls of the divergence began.
        self.stuck: list[float] = []
        self._ops, self._sites, self._stacks, self._groups, self._whats = (packed.Table() for _ in range(5))

    def add(self, rank: int, calls: Calls, shift: float, window: tuple[float, float]) -> int:
        """Add the calls of a rank in a time window; returns how many. `shift`: seconds by which its clock is ahead."""
        calls = calls[np.argsort(calls["start"], kind="stable")]
        starts, ends = calls["start"] - shift, np.where(calls["end"] != 0, calls["end"] - shift, np.inf)
        is_in = (starts <= window[1]) & (ends >= window[0])
        calls, starts, ends = calls[is_in], starts[is_in], ends[is_in]
        is_open, tick = calls["end"] == 0, self._tick
        # No call begins before one that stands in front of it, nor ends before it begins.
        start = np.maximum.accumulate(np.maximum(0, np.rint((starts - self._begin) / tick)))
        ended = np.where(is_open, self._stop, ends) - self._begin
        took = np.maximum(start, np.rint(ended / tick)) - start
        waited = np.minimum(took, np.rint(self._arrivals.waited(rank, calls) / tick))
        is_whole = (is_open & ~calls["is_async"]) | (calls["state"] == State.FAILED)
        is_last, late = self._arrivals.came_last(rank, calls)
        diverged = self._of_divergence(rank, calls)
        self.stuck += starts[diverged].tolist()
        flags = (
            packed.OPEN * is_open
            + packed.ASYNC * calls["is_async"]
            + packed.LAST * is_last
            + packed.DIVERGED * diverged
        )
        flags += packed.PAIR * (calls["kind"] != _COLLECTIVE) + packed.FAILED * (calls["state"] == State.FAILED)
        self._put("start", np.diff(start, prepend=0))
        self._put("wait", np.where(is_whole, took, waited))
        self._put("took", took)
        self._put("late", np.rint(late / tick))
        self._put("what", self._what(calls))
        self._put("sequence", calls["sequence"] & packed.MOST)
        self._put("flags", flags)
        return len(calls)

    def _put(self, name: str, values: Column) -> None:
        self.columns[name] += np.clip(values, 0, packed.MOST).astype(np.uint32).tobytes()

    def _what(self, calls: Calls) -> Column:
        """Indices into "whats", the table of operation, group, site and stack."""
        _, first, where = np.unique(calls[["op", "group", "site"]], return_index=True, return_inverse=True)
        numbers = np.empty(len(first), np.int64)
        for position in np.argsort(first):
            call = calls[first[position]]
            place = self.catalog.sites[call["site"]]
            site = self._sites(f"{place.path}:{place.line}")
            numbers[position] = self._whats(
                (
                    self._ops(self.catalog.ops[call["op"]]),
                    self._groups(int(call["group"])),
                    site,
                    self._stacks(place.stack),
                )
            )
        return numbers[where]

    def _of_divergence(self, rank: int, calls: Calls) -> Column:
        """A mask of the calls of a rank that belong to the divergence."""
        found = np.zeros(len(calls), bool)
        for number, stream, sequence in self._diverged:
            if number != rank:
                continue
            of_group = (calls["sequence"] == sequence) & (calls["group"] == self.catalog.known(stream[0]))
            if len(stream) == 2:
                found |= of_group & (calls["kind"] == KINDS.index(stream[1]))
                continue
            for position in np.flatnonzero(of_group):
                call = calls[position]
                tag = int(self.catalog.signatures[call["signature"]].get("tag", 0))
                found[position] |= (KINDS[call["kind"]], self.catalog.ops[call["op"]], call["peer"], tag) == (
                    "p2p",
                    *stream[1:],
                )
        return found

    def tables(self) -> dict[str, Sequence[Any]]:
        """The tables that the columns index."""
        names = [str(self.catalog.groups[number]) for number in self._groups.numbers]
        return {
            "ops": list(self._ops.numbers),
            "groups": [[compact(name), self._kinds.get(name, name)] for name in names],
            "sites": list(self._sites.numbers),
            "stacks": list(self._stacks.numbers),
            "whats": list(self._whats.numbers),
        }
