"""The trace file: one for each process, written so that a killed process leaves everything up to its last call.

Two files stand side by side. Version 2, little endian:

`NAME.ring`, memory-mapped. A header of 512 bytes: magic `CLTRACE\\0`, then version u32, capacity u32, rank i32, world
size i32, pid i32, attempt i32, started f64, written u64 (the number of events so far), end u32 (0 running, 1 finished,
2 raised), and from byte 64 the host name, from byte 192 the exception, both UTF-8 padded with zeros. Then `capacity`
records of 64 bytes; event n (from 1) stands in slot (n - 1) % capacity:

    number u64, group u32, sequence u32, signature u32, place u32, peer i32, kind u8, state u8, is_async u8, pad u8,
    start f64, end f64, thread u32, pad 8

`thread` is 0 for the main thread and for threads of C++, which autograd runs while the main thread waits for it; else it
is the number the system gives the thread.

The number is written last, so that a half-written record is not mistaken for a whole one.

`NAME.names`, one JSON object a line, appended: `{"id": 3, "group": {...}}`, `{"id": 4, "place": {...}}` or
`{"id": 5, "signature": {...}}`, each before the first record that refers to it.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
from typing import TYPE_CHECKING, Any, Final

from .record import Event, Group, Place, Rank, State, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .record import End, Kind

MAGIC: Final = b"CLTRACE\0"
VERSION: Final = 2
HEADER: Final = struct.Struct("<8sIIiiiidQI")
RECORD: Final = struct.Struct("<QIIIIiBBBxddI8x")
_HEADER_SIZE: Final = 512
_HOST: Final = slice(64, 192)
_ERROR: Final = slice(192, 512)
_WRITTEN: Final = struct.Struct("<QI")
_WRITTEN_AT: Final = 40
_STATE_AT: Final = struct.calcsize("<QIIIIiB")
_END_AT: Final = struct.calcsize("<QIIIIiBBBxd")
_U8: Final = struct.Struct("<B")
_F64: Final = struct.Struct("<d")
_U64: Final = struct.Struct("<Q")

KINDS: Final[tuple[Kind, ...]] = ("collective", "p2p", "create", "outsider")
ENDS: Final[tuple[End, ...]] = ("running", "finished", "raised")
#: 4 MiB for each rank; an older event is overwritten when it is full.
CAPACITY: Final = 65_536


class TraceError(Exception):
    """A trace that cannot be read; the message names the file and the reason."""


class Writer:
    """The trace of this process. `add` is called before the operation, `mark` as it goes on."""

    def __init__(self, folder: Path, *, rank: int, world_size: int, attempt: int, started: float, host: str) -> None:
        """Create both files; raise OSError if the folder cannot be written."""
        folder.mkdir(parents=True, exist_ok=True)
        name = f"rank{rank}-{host}-{os.getpid()}"
        size = _HEADER_SIZE + CAPACITY * RECORD.size
        self._names = (folder / f"{name}.names").open("ab", buffering=0)
        with (folder / f"{name}.ring").open("w+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        HEADER.pack_into(self._map, 0, MAGIC, VERSION, CAPACITY, rank, world_size, os.getpid(), attempt, started, 0, 0)
        self._map[_HOST] = host.encode()[:127].ljust(128, b"\0")
        self.written = 0
        self._next_id = 1

    def name(self, what: str, value: dict[str, Any]) -> int:
        """Store a group, place or signature; its id."""
        number = self._next_id
        self._next_id += 1
        self._names.write(json.dumps({"id": number, what: value}).encode() + b"\n")
        return number

    def add(
        self,
        kind: int,
        group: int,
        sequence: int,
        signature: int,
        place: int,
        peer: int,
        is_async: bool,
        start: float,
        thread: int = 0,
    ) -> int:
        """Write an event that is about to start; its number."""
        number = self.written + 1
        slot = _HEADER_SIZE + (self.written % CAPACITY) * RECORD.size
        RECORD.pack_into(
            self._map,
            slot,
            0,
            group,
            sequence,
            signature,
            place,
            peer,
            kind,
            State.ENTERED,
            is_async,
            start,
            0.0,
            thread,
        )
        _U64.pack_into(self._map, slot, number)
        self.written = number
        _U64.pack_into(self._map, _WRITTEN_AT, number)
        return number

    def mark(self, number: int, state: State, end: float = 0.0) -> None:
        """Note how far an event has come; nothing happens if the ring has moved past it."""
        if number <= self.written - CAPACITY:
            return
        slot = _HEADER_SIZE + ((number - 1) % CAPACITY) * RECORD.size
        if end:
            _F64.pack_into(self._map, slot + _END_AT, end)
        _U8.pack_into(self._map, slot + _STATE_AT, state)

    def finish(self, end: End, error: str = "") -> None:
        """Say how the process ended."""
        self._map[_ERROR] = error.encode()[:319].ljust(320, b"\0")
        _WRITTEN.pack_into(self._map, _WRITTEN_AT, self.written, ENDS.index(end))


def files(folder: Path) -> list[Path]:
    """The rings of a trace directory."""
    return sorted(folder.glob("*.ring"))


def progress(ring: Path) -> tuple[int, int]:
    """A cheap sign of life: (events written, states of the last few events summed up)."""
    with ring.open("rb") as file:
        data = file.read(_HEADER_SIZE)
        if len(data) < _HEADER_SIZE:
            return (0, 0)
        _, _, capacity, *_, written, end = HEADER.unpack_from(data)
        first = max(0, written - 16)
        total = end
        for number in range(first, written):
            file.seek(_HEADER_SIZE + (number % capacity) * RECORD.size + _STATE_AT)
            total += sum(file.read(1))
    return (written, total)


def read(ring: Path) -> Rank:
    """Read the trace of one process; raise TraceError where it is not one."""
    try:
        data = ring.read_bytes()
        names = _names(ring.with_suffix(".names"))
    except OSError as error:
        raise TraceError(f"{ring}: {error.strerror or error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise TraceError(f"{ring.with_suffix('.names')}: damaged: {type(error).__name__} {error}") from None
    if len(data) < _HEADER_SIZE or not data.startswith(MAGIC):
        raise TraceError(f"{ring}: not a collectivelint trace")
    _, version, capacity, rank, world_size, pid, attempt, started, written, end = HEADER.unpack_from(data)
    if version != VERSION:
        raise TraceError(f"{ring}: version {version} of the format, this release reads version {VERSION}")
    if len(data) < _HEADER_SIZE + capacity * RECORD.size or end >= len(ENDS):
        raise TraceError(f"{ring}: damaged, {len(data)} bytes are too few for {capacity} records")
    events = tuple(_events(data, capacity, written, rank, names))
    return Rank(
        rank=rank,
        world_size=world_size,
        pid=pid,
        host=_text(data[_HOST]),
        attempt=attempt,
        started=started,
        end=ENDS[end],
        error=_text(data[_ERROR]),
        events=events,
        lost=max(0, written - capacity),
    )


def _events(data: bytes, capacity: int, written: int, rank: int, names: dict[int, Any]) -> Iterator[Event]:
    for number in range(max(1, written - capacity + 1), written + 1):
        slot = _HEADER_SIZE + ((number - 1) % capacity) * RECORD.size
        stored, group, sequence, signature, place, peer, kind, state, is_async, start, end, thread = RECORD.unpack_from(
            data, slot
        )
        if (
            stored != number
            or not {group, signature, place} <= names.keys()
            or kind >= len(KINDS)
            or state > State.FAILED
        ):
            # Overwritten while we read, or torn by the end of the process.
            continue
        known = names[signature]
        yield Event(
            rank=rank,
            number=number,
            kind=KINDS[kind],
            op=known["op"],
            group=names[group],
            sequence=sequence,
            peer=peer,
            signature=known,
            is_async=bool(is_async),
            state=State(state),
            start=start,
            end=end,
            place=names[place],
            thread=thread,
        )


def _names(file: Path) -> dict[int, Any]:
    found: dict[int, Any] = {}
    for line in file.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            # The last line of a process that was killed while it wrote.
            continue
        match row:
            case {"id": number, "group": group}:
                found[number] = Group(tuple(group["ranks"]), group["ordinal"], group["description"])
            case {"id": number, "place": place}:
                found[number] = Place(place["path"], place["line"], place["function"], tuple(place["stack"]))
            case {"id": number, "signature": {"op": str()} as signature}:
                found[number] = signature
    return found


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def load(folder: Path) -> Trace:
    """Read a trace directory; of every rank the newest attempt. Raise TraceError if there is none."""
    found: dict[int, Rank] = {}
    for ring in files(folder):
        rank = read(ring)
        known = found.get(rank.rank)
        if known is None or (known.attempt, known.started) < (rank.attempt, rank.started):
            found[rank.rank] = rank
    if not found:
        raise TraceError(f"{folder}: no trace here; no process of the job called init_process_group")
    newest = max(rank.attempt for rank in found.values())
    return Trace({number: rank for number, rank in sorted(found.items()) if rank.attempt == newest})
