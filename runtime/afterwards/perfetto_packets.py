"""Packets of Perfetto's trace format, made with Perfetto's own classes and written in batches."""

from __future__ import annotations

import itertools
from typing import IO, Any, Final

#: The packets that are in memory before they are written.
BATCH: Final = 4096
#: All packets are of one writer, so that each name is stored once.
_SEQUENCE: Final = 1
#: Clocks as Perfetto numbers them: that of the packets, and the time of day.
_BOOTTIME: Final = 6
_REALTIME: Final = 1


class Packets:
    """A writer of Perfetto packets that interns names: each is stored where it is used first."""

    def __init__(self, protos: Any, stream: IO[bytes]) -> None:
        """`protos`: the module with Perfetto's protobuf classes."""
        self._stream, self._protos = stream, protos
        self._batch = protos.Trace()
        self._uuids = itertools.count(1)
        self._interned: dict[tuple[str, str], int] = {}
        self._is_first = True

    def packet(self, like: Any = None) -> Any:
        """A new packet, a copy of `like` if one is given. It is complete when the caller asks for the next one."""
        if len(self._batch.packet) >= BATCH:
            self.flush()
        packet = self._batch.packet.add()
        if like is not None:
            packet.CopyFrom(like)
            return packet
        packet.trusted_packet_sequence_id = _SEQUENCE
        flags = self._protos.TracePacket
        packet.sequence_flags = (
            flags.SEQ_INCREMENTAL_STATE_CLEARED if self._is_first else flags.SEQ_NEEDS_INCREMENTAL_STATE
        )
        self._is_first = False
        return packet

    def template(self, kind: str) -> Any:
        """A packet with an event of this type, to be copied."""
        made = self._protos.TracePacket()
        made.trusted_packet_sequence_id = _SEQUENCE
        made.sequence_flags = self._protos.TracePacket.SEQ_NEEDS_INCREMENTAL_STATE
        made.track_event.type = getattr(self._protos.TrackEvent, kind)
        return made

    def write(self, packets: bytes) -> None:
        """Append packets that are already encoded."""
        self.flush()
        self._stream.write(packets)

    def encoded(self, packet: Any) -> bytes:
        """The bytes of a packet as they stand in the file."""
        return bytes(self._protos.Trace(packet=[packet]).SerializeToString())

    def flush(self) -> None:
        """Write out the packets; Perfetto reads several serialised messages in a row as one trace."""
        self._stream.write(self._batch.SerializeToString())
        self._batch = self._protos.Trace()

    def track(
        self, name: str, parent: int = 0, order: int = 0, *, sorts_children: bool = False, counts: bool = False
    ) -> int:
        """Write the description of a new track and return its number."""
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
        """Write the clock snapshot by which times are read as time of day."""
        clocks = self.packet().clock_snapshot
        clocks.primary_trace_clock = _BOOTTIME
        for clock in (_BOOTTIME, _REALTIME):
            clocks.clocks.add(clock_id=clock, timestamp=time)

    def interned(self, packet: Any, table: str, text: str) -> int:
        """The interned id of a text; `packet` defines it on first use."""
        found = self._interned.get((table, text))
        if found is None:
            found = self._interned[table, text] = len(self._interned) + 1
            entry = getattr(packet.interned_data, table).add()
            entry.iid = found
            # Names of files may have bytes that are no UTF-8: their escapes, as the report shows them.
            shown = text.encode(errors="backslashreplace")
            if table == "debug_annotation_string_values":
                entry.str = shown
            else:
                entry.name = shown.decode()
        return found
