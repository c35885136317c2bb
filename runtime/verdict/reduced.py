"""The calls of a very large job that its verdict rests on; every other call matches those of the other ranks.

The verdict on them (matching.py) equals that on the whole trace: they include the last call and the unfinished calls of
each rank, calls that differ between ranks, and calls that one rank made and another did not.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..operations import ROOTED, SPLIT
from ..traces import columns
from ..traces.model import State, Trace
from ..traces.ring import KINDS, TraceError
from . import endings, matching

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..traces.columns import Calls, Catalog, Column
    from ..traces.model import Rank
    from ..traces.reader import Reader
    from .model import Divergence

#: So many calls of a rank that did not end are kept, the newest.
_OPEN: Final = 256
#: Beyond so many calls in which ranks differ the whole trace is no larger than what is kept of it.
_MOST: Final = 500_000
_COLLECTIVE, _CREATE, _OUTSIDER = (KINDS.index(kind) for kind in ("collective", "create", "outsider"))
#: Where the kind stands in the number of a stream, above a group's.
_KIND_AT: Final = 32
#: A call that has to be compared in full.
_UNLIKE: Final = -1


@dataclass(slots=True)
class _Stream:
    """The calls of one kind on a group. `sequences`: ascending; `kinds`: as on the first rank that made each call.

    `differs`: whether ranks differ in the call.
    """

    sequences: Column
    kinds: Column
    differs: Column

    def add(self, sequences: Column, kinds: Column) -> None:
        """Add the calls of another rank."""
        if not np.array_equal(sequences, self.sequences):
            both = np.union1d(sequences, self.sequences)
            at, mine = np.searchsorted(both, self.sequences), np.searchsorted(both, sequences)
            known = np.empty(len(both), np.int64)
            known[mine] = kinds
            known[at] = self.kinds
            differs = np.zeros(len(both), bool)
            differs[at] = self.differs
            self.sequences, self.kinds, self.differs = both, known, differs
            differs[mine] |= (kinds != known[mine]) | (kinds == _UNLIKE)
            return
        self.differs |= (kinds != self.kinds) | (kinds == _UNLIKE)


@dataclass(slots=True)
class Reduced:
    """The reduced trace. `calls`: the number of calls of each rank; `starts`: when the recorded ones began, by rank.

    `times`: the first and last time in the calls of each rank, infinite if it has none. All times are by the rank's own
    clock.
    """

    trace: Trace
    calls: dict[int, int]
    starts: dict[int, Column]
    times: dict[int, tuple[float, float]]
    _readers: Mapping[int, Reader]
    _catalog: Catalog

    def around(self, found: Divergence) -> Trace:
        """The trace plus the calls that explain a divergence: all of one rank per side, the diverging call of all."""
        whole = {side.ranks[0] for side in found.sides}
        group = self._catalog.known(found.group.key)
        ranks = dict(self.trace.ranks)
        for number, rank in self.trace.ranks.items():
            reader = self._readers[number]
            if number in whole:
                ranks[number] = reader.whole()
            elif number in found.group.ranks:
                calls = columns.of_reader(reader, self._catalog)
                same = calls["number"][(calls["group"] == group) & (calls["sequence"] == found.sequence)]
                if set(same.tolist()) - {event.number for event in rank.events}:
                    ranks[number] = reader.of([*same.tolist(), *(event.number for event in rank.events)])
            reader.release()
        return Trace(ranks)


def reduced(readers: Sequence[Reader], catalog: Catalog, unreadable: list[str]) -> Reduced | None:
    """The reduced trace of a job; None if data is checked, not all streams are counted, or too many calls differ.

    Then only the whole trace will do. Problems with ranks that are left out are appended to `unreadable`.
    """
    made = _Made(catalog)
    kept: dict[int, Column] = {}
    problems: list[str] = []
    found = Reduced(Trace(), {}, {}, {}, {reader.number: reader for reader in readers}, catalog)
    ranks: dict[int, Rank] = {}
    for reader in readers:
        try:
            calls = columns.of_reader(reader, catalog)
            if calls["has_data"].any() or not reader.counts_all:
                return None
            made.add(calls)
            numbers = kept[reader.number] = _ends(calls)
            rank = ranks[reader.number] = reader.of(numbers.tolist())
        except TraceError as error:
            problems.append(str(error))
            continue
        reader.release()
        found.calls[rank.rank] = len(calls) + rank.lost
        found.starts[rank.rank] = calls["start"].copy()
        moments = np.concatenate([calls["start"], calls["end"]])
        moments = moments[moments != 0]
        found.times[rank.rank] = (moments.min(initial=np.inf), moments.max(initial=-np.inf))
    least = _least(ranks, catalog) if all(map(endings.ended_well, ranks.values())) else {}
    differing = made.differing()
    if differing or least:
        count = 0
        for number in list(ranks):
            reader = found._readers[number]
            calls = columns.of_reader(reader, catalog)
            more = calls["number"][_wanted(calls, differing, least)]
            reader.release()
            count += len(more)
            if count > _MOST:
                return None
            if len(more):
                ranks[number] = reader.of([*kept[number].tolist(), *more.tolist()])
    unreadable += problems
    found.trace = Trace(ranks)
    return found


@dataclass(slots=True)
class _Made:
    """Collects the calls of all ranks by stream, and in which of them ranks differ."""

    catalog: Catalog
    streams: dict[int, _Stream] = field(default_factory=dict)
    #: By signature: a number for those that fit together, and whether the root counts.
    _fitting: dict[Any, int] = field(default_factory=dict)
    _kinds: list[int] = field(default_factory=list)
    _rooted: list[bool] = field(default_factory=list)

    def add(self, calls: Calls) -> None:
        """Add the calls of a rank."""
        for signature in self.catalog.signatures[len(self._kinds) :]:
            op = str(signature["op"])
            key = matching.fitting(op, signature)
            is_split = op in SPLIT and any(signature.get(name) for name in ("output_split_sizes", "input_split_sizes"))
            self._kinds.append(_UNLIKE if is_split else self._fitting.setdefault(key, len(self._fitting)))
            self._rooted.append(op in ROOTED)
        some = calls[(calls["kind"] == _COLLECTIVE) | (calls["kind"] == _CREATE)]
        if not len(some):
            return
        kinds = np.array(self._kinds, np.int64)[some["signature"]]
        roots = np.where(np.array(self._rooted)[some["signature"]], some["peer"], -1).astype(np.int64)
        kinds = np.where(kinds == _UNLIKE, _UNLIKE, kinds << _KIND_AT | (roots + 1))
        numbers = _streams(some)
        order = np.lexsort((some["sequence"], numbers))
        numbers, sequences, kinds = numbers[order], some["sequence"][order], kinds[order]
        edges = np.flatnonzero(np.diff(numbers)) + 1
        for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(numbers)], strict=True):
            self._add(int(numbers[start]), sequences[start:stop], kinds[start:stop])

    def _add(self, number: int, sequences: Column, kinds: Column) -> None:
        again = np.flatnonzero(np.diff(sequences) == 0)
        if len(again):
            # Of one number twice, in a damaged trace, both are to be compared.
            kinds = kinds.copy()
            kinds[again] = _UNLIKE
            sequences, first = np.unique(sequences, return_index=True)
            kinds = kinds[first]
        known = self.streams.get(number)
        if known is None:
            self.streams[number] = _Stream(sequences, kinds, kinds == _UNLIKE)
        else:
            known.add(sequences, kinds)

    def differing(self) -> dict[int, Column]:
        """By stream, the sequence numbers of the calls in which ranks may differ."""
        return {
            number: stream.sequences[stream.differs] for number, stream in self.streams.items() if stream.differs.any()
        }


def _streams(calls: Calls) -> Column:
    """The stream number of each call."""
    found: Column = calls["kind"].astype(np.int64) << _KIND_AT | calls["group"]
    return found


def _ends(calls: Calls) -> Column:
    """Numbers of the calls that show how a rank ended: last and unfinished ones, and the first as an outsider."""
    if not len(calls):
        return calls["number"]
    open_ = np.flatnonzero(calls["state"] != State.DONE)[-_OPEN:]
    outsider = np.flatnonzero(calls["kind"] == _OUTSIDER)[:1]
    last = np.argmax(np.where(calls["end"] != 0, calls["end"], calls["start"]))
    found: Column = np.unique(calls["number"][[*open_, *outsider, last, -1]])
    return found


def _least(ranks: Mapping[int, Rank], catalog: Catalog) -> dict[int, int]:
    """By stream, the smallest number of calls of any member; only streams in which another member made more."""
    counts: defaultdict[int, dict[int, int]] = defaultdict(dict)
    for rank in ranks.values():
        for (key, kind), counted in rank.streams.items():
            group = catalog.known(key)
            if kind in ("collective", "create") and group is not None:
                counts[KINDS.index(kind) << _KIND_AT | group][rank.rank] = counted.calls
    found = {}
    for number, made in counts.items():
        members = catalog.groups[number & (1 << _KIND_AT) - 1].ranks
        least = min(made.get(member, 0) for member in members if member in ranks)
        if least < max(made.values()):
            found[number] = least
    return found


def _wanted(calls: Calls, differing: Mapping[int, Column], least: Mapping[int, int]) -> Column:
    """A mask of the calls in which ranks differ, and of the first one that another rank did not make."""
    numbers = _streams(calls)
    found = np.zeros(len(calls), bool)
    for stream, sequences in differing.items():
        found |= (numbers == stream) & np.isin(calls["sequence"], sequences)
    for stream, count in least.items():
        found[np.flatnonzero((numbers == stream) & (calls["sequence"] > count))[:1]] = True
    return found
