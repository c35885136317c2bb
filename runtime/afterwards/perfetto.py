"""`report --perfetto`: the calls of a run as a trace that the Perfetto UI opens (https://ui.perfetto.dev).

A track for each rank below that of its job, a slice for each call, a flow through the calls of a collective on all ranks, and a
counter of the bytes in flight on each rank. Calls that overlap others (asynchronous ones, other threads') have tracks of their own
below the rank's. Ranks are read and written one after the other: packets may come in any order of time.
"""

from __future__ import annotations

import itertools
import os
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from ..quantities import ranks_text
from ..traces.model import Numbering, Trace
from ..verdict.meetings import offsets
from .rank_by_rank import ranks_of
from .statistics import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..traces.jobs import Job
    from ..traces.model import Event, Group, Rank

#: The packets that are in memory before they are written.
_BATCH: Final = 4096
#: All packets are of one writer, so that each name is stored once.
_SEQUENCE: Final = 1
#: Clocks as Perfetto numbers them: that of the packets, and the time of day.
_BOOTTIME, _REALTIME = 6, 1
#: Characters of a list of ranks.
_LONGEST: Final = 100


class PerfettoError(Exception):
    """The trace cannot be written; its text says why."""


def write(jobs: Sequence[Job], names: Sequence[str], file: Path, unreadable: list[str]) -> None:
    """Write the calls of all jobs. One rank is in memory at a time, and the first one of each job.

    `unreadable` gets what is wrong with ranks that are left out; PerfettoError is raised where the package is missing.
    """
    try:
        import perfetto.protos.perfetto.trace.perfetto_trace_pb2 as protos
    except ImportError:
        raise PerfettoError("--perfetto needs perfetto: pip install 'collectivelint[report]'") from None
    with _replaced(file) as stream:
        packets = _Packets(protos, stream)
        groups = 0
        for position, (job, name) in enumerate(zip(jobs, names, strict=True)):
            track = packets.track(name or f"job of {job.world_size} ranks", order=position, sorts_children=True)
            written = _Job(packets, track, groups)
            for rank in ranks_of(job, unreadable):
                written.rank(rank)
            groups += written.groups
        packets.flush()


@contextmanager
def _replaced(file: Path) -> Iterator[IO[bytes]]:
    """A stream to a new file that takes the place of the old one when all is written; to a device or pipe itself."""
    target = Path(os.path.realpath(file))
    if target.exists() and not target.is_file():
        with target.open("wb") as stream:
            yield stream
        return
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        with temporary.open("xb") as stream:
            yield stream
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


class _Packets:
    """Packets of Perfetto's format, with names that are stored where they come first."""

    def __init__(self, protos: Any, stream: IO[bytes]) -> None:
        self._stream, self._protos = stream, protos
        self._batch = protos.Trace()
        self._uuids = itertools.count(1)
        self._interned: dict[tuple[str, str], int] = {}
        self._is_first = True

    def packet(self) -> Any:
        """A new packet; the caller fills it before it asks for another."""
        if len(self._batch.packet) >= _BATCH:
            self.flush()
        packet = self._batch.packet.add()
        packet.trusted_packet_sequence_id = _SEQUENCE
        if self._is_first:
            self._is_first = False
            packet.sequence_flags = self._protos.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        else:
            packet.sequence_flags = self._protos.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        return packet

    def event(self, time: int, kind: str, track: int) -> tuple[Any, Any]:
        """A packet and its event, at a time in nanoseconds since the epoch."""
        packet = self.packet()
        packet.timestamp = time
        event = packet.track_event
        event.type = getattr(self._protos.TrackEvent, kind)
        event.track_uuid = track
        return packet, event

    def flush(self) -> None:
        """Write the packets; those of several messages make one trace."""
        self._stream.write(self._batch.SerializeToString())
        self._batch = self._protos.Trace()

    def track(
        self, name: str, parent: int = 0, order: int = 0, *, sorts_children: bool = False, counts: bool = False
    ) -> int:
        """Describe a track; its number."""
        track = self.packet().track_descriptor
        track.uuid, track.name, track.sibling_order_rank = next(self._uuids), name, order
        if parent:
            track.parent_uuid = parent
        if sorts_children:
            track.child_ordering = self._protos.TrackDescriptor.EXPLICIT
        if counts:
            track.counter.unit = self._protos.CounterDescriptor.UNIT_SIZE_BYTES
        return int(track.uuid)

    def snapshot(self, time: int) -> None:
        """Say that times are those of day."""
        clocks = self.packet().clock_snapshot
        clocks.primary_trace_clock = _BOOTTIME
        for clock in (_BOOTTIME, _REALTIME):
            clocks.clocks.add(clock_id=clock, timestamp=time)

    def interned(self, packet: Any, table: str, text: str) -> int:
        """The number of a text; `packet` stores it if it is the first that needs it."""
        found = self._interned.get((table, text))
        if found is None:
            found = self._interned[table, text] = len(self._interned) + 1
            entry = getattr(packet.interned_data, table).add()
            entry.iid = found
            if table == "debug_annotation_string_values":
                entry.str = text.encode()
            else:
                entry.name = text
        return found


class _Job:
    """The ranks of one job. `groups`: how many have been seen."""

    def __init__(self, packets: _Packets, track: int, base: int) -> None:
        """`base`: the number of groups of other jobs, so that flows differ."""
        self._packets, self._track, self._base = packets, track, base
        self._numbering = Numbering()
        self.groups = 0
        self._names: dict[int, str] = {}
        self._first: Rank | None = None
        #: By host, by how many seconds its clock is ahead of the first rank's.
        self._shifts: dict[str, float] = {}

    def rank(self, rank: Rank) -> None:
        """Write a rank's track, its calls in the order of time, and the counter."""
        shift = self._shift(rank)
        lanes = _Lanes(self._packets, self._track, rank)
        # At the same nanosecond a call ends before the next one begins on its track.
        moments: list[tuple[int, int, int, int, Event]] = []
        for event in sorted(rank.events, key=lambda event: (event.start, event.number)):
            start = _nanoseconds(event.start - shift)
            end = max(_nanoseconds(event.end - shift), start + 1) if event.end else None
            lane = lanes.lane(event, start, end)
            moments.append((start, 1, event.number, lane, event))
            if end is not None:
                moments.append((end, 0, event.number, lane, event))
        flying = 0
        for time, begins, _, lane, event in sorted(moments, key=lambda moment: moment[:3]):
            if begins:
                self._begin(event, time, lane)
            else:
                self._packets.event(time, "TYPE_SLICE_END", lane)
            if length := size(event.signature):
                flying += length if begins else -length
                _, counted = self._packets.event(time, "TYPE_COUNTER", lanes.counter())
                counted.counter_value = flying

    def _shift(self, rank: Rank) -> float:
        if self._first is None:
            self._first, self._shifts[rank.host] = rank, 0.0
            self._packets.snapshot(_nanoseconds(rank.started))
        if rank.host not in self._shifts:
            self._shifts[rank.host] = offsets(Trace({self._first.rank: self._first, rank.rank: rank}))[rank.rank]
        return self._shifts[rank.host]

    def _begin(self, event: Event, time: int, lane: int) -> None:
        packets, group = self._packets, self._numbering(event.group.key)
        self.groups = max(self.groups, group + 1)
        packet, begun = packets.event(time, "TYPE_SLICE_BEGIN", lane)
        begun.name_iid = packets.interned(packet, "event_names", event.op)
        begun.category_iids.append(packets.interned(packet, "event_categories", event.kind))
        if event.kind == "collective" and len(event.group.ranks) > 1:
            # A ring stores 32 bits of a sequence.
            begun.flow_ids.append(self._base + group << 32 | event.sequence & 0xFFFFFFFF)
        for name, value in self._arguments(event, group):
            argument = begun.debug_annotations.add()
            argument.name_iid = packets.interned(packet, "debug_annotation_names", name)
            if isinstance(value, str):
                argument.string_value_iid = packets.interned(packet, "debug_annotation_string_values", value)
            elif isinstance(value, bool):
                argument.bool_value = value
            else:
                argument.int_value = value

    def _arguments(self, event: Event, group: int) -> Iterable[tuple[str, str | int]]:
        named = self._names.get(group)
        if named is None:
            named = self._names[group] = _named(event.group)
        yield "group", named
        yield "sequence", event.sequence
        yield "site", f"{event.place.path}:{event.place.line}"
        yield "function", event.place.function
        yield "state", event.state.name.lower()
        yield "number", event.number
        if event.peer >= 0:
            yield "peer", event.peer
        if event.is_async:
            yield "is_async", True
        if length := size(event.signature):
            yield "bytes", length


class _Lanes:
    """The tracks of a rank: its own for the synchronous calls of its main thread, one below it for each call that overlaps."""

    def __init__(self, packets: _Packets, job: int, rank: Rank) -> None:
        self._packets = packets
        self._track = packets.track(f"rank {rank.rank} ({rank.host})", job, rank.rank)
        self._counter = 0
        #: By thread and whether its calls are asynchronous: each track, and when its last call ends.
        self._ends: dict[tuple[int, bool], list[tuple[int, float]]] = {(0, False): [(self._track, 0.0)]}

    def lane(self, event: Event, start: int, end: int | None) -> int:
        """The track of a call, which no other call there overlaps."""
        key = (event.thread, event.is_async)
        lanes = self._ends.setdefault(key, [])
        until = end if end is not None else float("inf")
        for index, (track, free) in enumerate(lanes):
            if free <= start:
                lanes[index] = (track, until)
                return track
        words = [f"thread {event.thread}"] * bool(event.thread) + ["async"] * event.is_async
        track = self._packets.track(" ".join(words) or "overlapping", self._track)
        lanes.append((track, until))
        return track

    def counter(self) -> int:
        """The track of the counter."""
        self._counter = self._counter or self._packets.track("bytes in flight", self._track, counts=True)
        return self._counter


def _nanoseconds(seconds: float) -> int:
    """Of a time since the epoch, which is exact to less than a microsecond."""
    return max(0, round(seconds * 1e6)) * 1000


def _named(group: Group) -> str:
    """A group in a line: description and members, which may be thousands."""
    members = ranks_text(group.ranks)
    shown = members if len(members) <= _LONGEST else f"{members[:_LONGEST]}... ({len(group.ranks)} ranks)"
    again = f", number {group.ordinal + 1} of these ranks" if group.ordinal else ""
    return f"{group.description or 'group'} of {shown}{again}"
