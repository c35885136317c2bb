"""The calls of a job in Perfetto's format, see perfetto.py."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ..operations import SYNCHRONISING
from ..quantities import ordinal, ranks_text
from ..traces.columns import Catalog
from ..traces.model import State
from ..traces.ring import KINDS
from .perfetto_rows import joined, prototype, width
from .statistics import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..traces.columns import Calls, Column
    from ..traces.model import Group, Rank
    from .perfetto_packets import Packets
    from .perfetto_rows import Prototype

#: Characters of a list of ranks.
_LONGEST: Final = 100
#: When a call ends that has not ended, in nanoseconds.
_NEVER: Final = (1 << 63) - 1
#: So many beginnings and ends are made at a time.
_PIECE: Final = 4096
#: Kinds of packets that are no call's.
_END, _COUNT = -1, -2


class Job:
    """The ranks of one job. `catalog`: the operations, groups and call sites of their calls."""

    def __init__(self, packets: Packets, track: int, base: int) -> None:
        """`base`: the number of groups of other jobs, so that flow numbers differ between jobs."""
        self._packets, self._track, self._base = packets, track, base
        self.catalog = Catalog()
        self._names: dict[int, str] = {}
        #: The bytes of the tensors of each signature.
        self._bytes: list[int] = []
        self._ends = {name: packets.template(f"TYPE_{name}") for name in ("SLICE_END", "COUNTER")}
        #: What calls have in common, by number; the numbers by what that is; and their bytes, by the widths of the numbers in them.
        self._templates: list[Any] = []
        self._known: dict[tuple[int, ...], int] = {}
        self._prototypes: dict[tuple[Any, ...], Prototype] = {}
        #: The calls of the first rank, and by how many seconds the clock of each host is ahead of its.
        self._first: Calls | None = None
        self._shifts: dict[str, float] = {}

    def rank(self, rank: Rank, calls: Calls) -> None:
        """Write a rank's track with its calls in order of time, and the counter."""
        shift = self._shift(rank, calls)
        lanes = Lanes(self._packets, self._track, rank)
        calls = calls[np.lexsort((calls["number"], calls["start"]))]
        start, is_open = _nanoseconds(calls["start"] - shift), calls["end"] == 0
        end = np.maximum(_nanoseconds(calls["end"] - shift), start + 1)
        lane = lanes.lanes(calls, start, np.where(is_open, _NEVER, end))
        for signature in self.catalog.signatures[len(self._bytes) :]:
            self._bytes.append(size(signature))
        length = np.array(self._bytes, np.int64)[calls["signature"]]
        like = self._like(calls)
        ended = np.flatnonzero(~is_open)
        # At the same nanosecond a call ends before the next one begins on its track.
        which = np.concatenate([np.arange(len(calls)), ended])
        begins = np.arange(len(which)) < len(calls)
        time = np.concatenate([start, end[ended]])
        order = np.lexsort((calls["number"][which], begins, time))
        which, begins, time = which[order], begins[order], time[order]
        flying = np.cumsum(np.where(begins, length[which], -length[which]))
        counter = lanes.counter() if length.any() else 0
        flow = (self._base + calls["group"].astype(np.int64)) << 32 | calls["sequence"] & 0xFFFFFFFF
        widths = {name: width(calls[name]) for name in ("sequence", "number")}
        widths |= {"track": width(np.append(lane, counter)), "counted": width(flying), "flow": 8}
        for first in range(0, len(which), _PIECE):
            piece = slice(first, first + _PIECE)
            call, is_begin = which[piece], begins[piece]
            moments = {
                "kind": np.where(is_begin, like[call], _END), "time": time[piece], "track": lane[call], "flow": flow[call],
                "sequence": calls["sequence"][call], "number": calls["number"][call], "counted": flying[piece],
            }  # fmt: skip
            # Behind each change of the bytes in flight stands the counter.
            moment = np.repeat(np.arange(len(call)), np.where(length[call] != 0, 2, 1))
            counts = np.append(False, moment[1:] == moment[:-1])
            rows = {name: values[moment] for name, values in moments.items()}
            rows["kind"][counts], rows["track"][counts] = _COUNT, counter
            self._write(rows, widths)

    def _write(self, rows: Mapping[str, Column], widths: Mapping[str, int]) -> None:
        """Write a packet per row. `rows`: by column, the kind (template number, _END or _COUNT) and its numbers."""
        made, lengths = {}, {}
        for kind in np.unique(rows["kind"]).tolist():
            found = self._prototype(kind, widths)
            here = rows["kind"] == kind
            made[kind] = found.rows(int(here.sum()), {name: rows[name][here] for name in found.places})
            lengths[kind] = len(found.data)
        self._packets.write(joined(rows["kind"], made, lengths))

    def _prototype(self, kind: int, widths: Mapping[str, int]) -> Prototype:
        template = self._templates[kind] if kind >= 0 else self._ends["SLICE_END" if kind == _END else "COUNTER"]
        names = ["track", *(["sequence", "number"] if kind >= 0 else ["counted"] if kind == _COUNT else [])]
        if kind >= 0 and template.track_event.flow_ids:
            names.append("flow")
        key = (kind, *(widths[name] for name in names))
        found = self._prototypes.get(key)
        if found is None:
            made = {"time": 9, **{name: widths[name] for name in names}}
            found = self._prototypes[key] = prototype(
                lambda numbers: self._encoded(template, numbers), made, frozenset(["flow"])
            )
        return found

    def _encoded(self, template: Any, numbers: Mapping[str, int]) -> bytes:
        """The bytes of a template with these numbers filled in."""
        packet = type(template)()
        packet.CopyFrom(template)
        packet.timestamp = numbers["time"]
        event = packet.track_event
        event.track_uuid = numbers["track"]
        if "counted" in numbers:
            event.counter_value = numbers["counted"]
        if "sequence" in numbers:
            event.debug_annotations[0].int_value = numbers["sequence"]
            event.debug_annotations[1].int_value = numbers["number"]
        if "flow" in numbers:
            event.flow_ids[0] = numbers["flow"]
        return self._packets.encoded(packet)

    def _shift(self, rank: Rank, calls: Calls) -> float:
        """Seconds by which the host's clock is ahead of the first rank's, see offsets() in verdict/meetings.py."""
        if self._first is None:
            self._first, self._shifts[rank.host] = self._common(calls), 0.0
            self._packets.snapshot(int(_nanoseconds(np.array([rank.started]))[0]))
        if rank.host not in self._shifts:
            mine = self._common(calls)
            names = ["group", "sequence"]
            _, there, here = np.intersect1d(self._first[names], mine[names], return_indices=True)
            apart = mine["end"][here] - self._first["end"][there]
            self._shifts[rank.host] = float(np.median(apart)) if len(apart) else 0.0
        return self._shifts[rank.host]

    def _common(self, calls: Calls) -> Calls:
        """The synchronising collectives: a rank leaves them only once all other ranks have entered."""
        waits = np.array([op in SYNCHRONISING for op in self.catalog.ops], bool)[calls["op"]]
        found: Calls = calls[waits & (calls["kind"] == 0) & (calls["state"] == State.DONE) & ~calls["is_async"]]
        return found

    def _like(self, calls: Calls) -> Column:
        """The template number of each call. Templates that do not exist yet are created."""
        names = ["op", "signature", "site", "group", "kind", "state", "peer", "is_async"]
        _, first, where = np.unique(calls[names], return_index=True, return_inverse=True)
        numbers = np.empty(len(first), np.int64)
        for position, call in enumerate(calls[first]):
            key = tuple(int(call[name]) for name in names)
            if key not in self._known:
                self._known[key] = len(self._templates)
                self._templates.append(self._described(call))
            numbers[position] = self._known[key]
        return numbers[where]

    def _described(self, call: Any) -> Any:
        """A template packet for calls like this one. Names that it interns are written in a packet before it."""
        packets, catalog = self._packets, self.catalog
        names = packets.packet()
        begun = packets.template("TYPE_SLICE_BEGIN")
        described = begun.track_event
        described.name_iid = packets.interned(names, "event_names", catalog.ops[call["op"]])
        described.category_iids.append(packets.interned(names, "event_categories", KINDS[call["kind"]]))
        for name, value in self._arguments(call):
            argument = described.debug_annotations.add()
            argument.name_iid = packets.interned(names, "debug_annotation_names", name)
            if isinstance(value, str):
                argument.string_value_iid = packets.interned(names, "debug_annotation_string_values", value)
            elif isinstance(value, bool):
                argument.bool_value = value
            else:
                argument.int_value = value
        if KINDS[call["kind"]] == "collective" and len(catalog.groups[call["group"]].ranks) > 1:
            described.flow_ids.append(0)
        return begun

    def _arguments(self, call: Any) -> Iterable[tuple[str, str | int]]:
        number, place = int(call["group"]), self.catalog.sites[call["site"]]
        named = self._names.get(number)
        if named is None:
            named = self._names[number] = _named(self.catalog.groups[number])
        # These two differ from call to call, see _encoded.
        yield "sequence", 0
        yield "number", 0
        yield "group", named
        yield "site", f"{place.path}:{place.line}"
        yield "function", place.function
        yield "state", State(call["state"]).name.lower()
        if call["peer"] >= 0:
            yield "peer", int(call["peer"])
        if call["is_async"]:
            yield "is_async", True
        if length := self._bytes[call["signature"]]:
            yield "bytes", length


class Lanes:
    """The tracks of a rank: one for the synchronous calls of its main thread, more below it for calls that overlap."""

    def __init__(self, packets: Packets, job: int, rank: Rank) -> None:
        """`job`: the track of the job."""
        self._packets = packets
        self._track = packets.track(f"rank {rank.rank} ({rank.host})", job, rank.rank)
        self._counter = 0
        #: By thread and whether its calls are asynchronous: each track, and when its last call ends.
        self._ends: dict[tuple[int, bool], list[tuple[int, int]]] = {(0, False): [(self._track, 0)]}

    def lanes(self, calls: Calls, start: Column, end: Column) -> Column:
        """The track of each call, such that calls on one track never overlap.

        `calls` are ordered by start; `start` and `end` are in nanoseconds.
        """
        if not (calls["thread"].any() or calls["is_async"].any()) and bool((start[1:] >= end[:-1]).all()):
            return np.full(len(calls), self._track)
        rows = zip(calls["thread"].tolist(), calls["is_async"].tolist(), start.tolist(), end.tolist(), strict=True)
        return np.array([self._lane(*row) for row in rows], np.int64)

    def _lane(self, thread: int, is_async: bool, start: int, end: int) -> int:
        lanes = self._ends.setdefault((thread, is_async), [])
        for index, (track, free) in enumerate(lanes):
            if free <= start:
                lanes[index] = (track, end)
                return track
        words = [f"thread {thread}"] * bool(thread) + ["async"] * is_async
        track = self._packets.track(" ".join(words) or "overlapping", self._track)
        lanes.append((track, end))
        return track

    def counter(self) -> int:
        """The track of the counter."""
        self._counter = self._counter or self._packets.track("bytes in flight", self._track, counts=True)
        return self._counter


def _nanoseconds(seconds: Column) -> Column:
    """Seconds since the epoch as nanoseconds, rounded to microseconds: a float holds no more."""
    found: Column = np.maximum(0, np.rint(seconds * 1e6)).astype(np.int64) * 1000
    return found


def _named(group: Group) -> str:
    """A group in one line: description and members, truncated if there are many."""
    members = ranks_text(group.ranks)
    shown = members if len(members) <= _LONGEST else f"{members[:_LONGEST]}... ({len(group.ranks)} ranks)"
    again = f", the {ordinal(group.ordinal + 1)} group of exactly these" if group.ordinal else ""
    return f"{group.description or 'group'} of {shown}{again}"
