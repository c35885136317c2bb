"""Writing a trace file: a few microseconds per call, and nothing is lost if the process is killed (see ring.py)."""

from __future__ import annotations

import itertools
import json
import mmap
import os
import struct
import time
from typing import TYPE_CHECKING, Any, Final

from . import processes
from .ring import (
    ARGUMENT_AT,
    ASKED,
    BEGUN,
    BEGUN_AT,
    BLOCK,
    BODY,
    BODY_AT,
    CAPACITY,
    CHECKSUM_AT,
    END_AT,
    ENDED,
    ENDS,
    ERROR,
    HEADER,
    HOST,
    IN_ORDER,
    LOCAL,
    MAGIC,
    RECORD,
    RECORDS_AT,
    STATE_AT,
    STREAM,
    STREAM_COUNT,
    STREAMS,
    STREAMS_AT,
    THREAD_AT,
    VERSION,
    WRITTEN_AT,
    fence,
)

if TYPE_CHECKING:
    from io import FileIO
    from pathlib import Path

    from .model import End, State

_pack: Final = BODY.pack_into
_WRITTEN: Final = WRITTEN_AT // 8
_END: Final = END_AT // 8
_RECORDS: Final = RECORDS_AT // 8
_pack_count: Final = struct.Struct("<II").pack_into
_pack_number: Final = struct.Struct("<I").pack_into


class Writer:
    """Writes the trace of this process. `add` is called before an operation, `mark` while it runs, `end` at its end."""

    def __init__(
        self,
        folder: Path,
        *,
        rank: int,
        world_size: int,
        attempt: int,
        started: float,
        host: str,
        local: int = 0,
        job: str = "",
    ) -> None:
        """Create both files; raise OSError if the folder cannot be written or has no room for them."""
        folder.mkdir(parents=True, exist_ok=True)
        self._map, self._names = _created(folder, f"rank{rank}-{host.replace(os.sep, '-')}-{os.getpid()}")
        unfinished = bytes(len(MAGIC))
        HEADER.pack_into(
            self._map, 0, unfinished, VERSION, CAPACITY, rank, world_size, os.getpid(), attempt, started, 0, 0, 0
        )
        self._map[LOCAL] = local.to_bytes(4, "little")
        self._map[HOST] = host.encode()[:119].ljust(120, b"\0")
        BEGUN.pack_into(self._map, BEGUN_AT, processes.started(os.getpid()))
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        self._floats = self._bytes.cast("d")
        self._last = 0
        self._ids = itertools.count(1)
        self._streams = itertools.count()
        self.name("job", job)
        # Last: whoever looks in between would keep what it has seen by then, and take this rank for one of another job.
        self._map[: len(MAGIC)] = MAGIC

    def name(self, what: str, value: Any) -> int:
        """Store a group, place or signature; returns its id."""
        number = next(self._ids)
        self._names.write(json.dumps({"id": number, what: value}).encode() + b"\n")
        return number

    def stream(self, value: dict[str, Any]) -> int:
        """Store a stream; returns its index in the table. Streams that do not fit into the table are not counted."""
        number = next(self._streams)
        if number < STREAMS:
            self._names.write(json.dumps({"id": number, "stream": value}).encode() + b"\n")
        self._map[STREAM_COUNT] = (number + 1).to_bytes(4, "little")
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
        thread: int,
        stream: int,
        rolled: int,
    ) -> int:
        """Write an event that is about to start; returns its number. `rolled`: the hash of its stream including it."""
        # No call in between: neither another thread nor a signal's handler gets the same number.
        self._last = number = self._last + 1
        word = _RECORDS + (number - 1) % CAPACITY * 8
        words = self._words
        words[word] = 0
        if not IN_ORDER:
            fence()
        _pack(
            self._map,
            word * 8 + BODY_AT,
            group,
            sequence,
            signature,
            place,
            peer,
            kind,
            0,
            is_async,
            start,
            0.0,
            thread,
        )
        if not IN_ORDER:
            fence()
        words[word] = number
        # Of what may have called in the middle, the last.
        words[_WRITTEN] = self._last
        if stream < STREAMS:
            table = STREAMS_AT + stream * 16
            if sequence % BLOCK:
                _pack_count(self._map, table, sequence, rolled)
            else:
                STREAM.pack_into(self._map, table, sequence, rolled, rolled)
        return number

    def mark(self, number: int, state: State, thread: int = 0) -> None:
        """Record the state of an event, and its thread; no effect if the ring has overwritten it."""
        at = RECORDS_AT + (number - 1) % CAPACITY * 64
        if self._words[at // 8] == number:
            _pack_number(self._map, at + THREAD_AT, thread)
            self._bytes[at + STATE_AT] = state

    def recount(self, stream: int, calls: int, rolled: int) -> None:
        """Correct how many calls a stream has had."""
        if stream < STREAMS:
            _pack_count(self._map, STREAMS_AT + stream * 16, calls, rolled)

    def end(self, number: int, state: State, end: float) -> None:
        """Record that an event has ended; no effect if the ring has overwritten it."""
        word = _RECORDS + (number - 1) % CAPACITY * 8
        if self._words[word] == number:
            self._floats[word + _END] = end
            self._bytes[word * 8 + STATE_AT] = state

    def argument(self, number: int, argument: int) -> None:
        """Record the id of the argument of an event's call; no effect if the ring has overwritten it."""
        self._note(number, ARGUMENT_AT, argument)

    def checksum(self, number: int, value: int) -> None:
        """Record the checksum of an event's result."""
        self._note(number, CHECKSUM_AT, value)

    def _note(self, number: int, where: int, value: int) -> None:
        at = RECORDS_AT + (number - 1) % CAPACITY * 64
        if self._words[at // 8] == number:
            _pack_number(self._map, at + where, value)

    @property
    def asked(self) -> int:
        """How often a reader has asked for the main thread's stack."""
        return int.from_bytes(self._map[ASKED], "little")

    def answer(self, number: int, stack: list[str], activity: dict[str, Any] | None = None) -> None:
        """Record the main thread's stack, and what it does there beyond its source line."""
        row = {"id": number, "stack": stack, "time": time.time(), **({"activity": activity} if activity else {})}
        self._names.write(json.dumps(row).encode() + b"\n")

    def finish(self, end: End, error: str = "") -> None:
        """Record how the process ended."""
        self._map[ERROR] = error.encode()[:319].ljust(320, b"\0")
        self._map[ENDED] = ENDS.index(end).to_bytes(4, "little")


def _created(folder: Path, name: str) -> tuple[mmap.mmap, FileIO]:
    """Create, map and open the files of this name; existing files and targets of links are never written to."""
    size = RECORDS_AT + CAPACITY * RECORD.size
    ring, names = folder / f"{name}.ring", folder / f"{name}.names"
    if os.path.lexists(ring) or os.path.lexists(names):
        # The process has made its default group again, as this rank of another job.
        name += f"-{time.monotonic_ns()}"
        ring, names = folder / f"{name}.ring", folder / f"{name}.names"
    table = names.open("xb", buffering=0)
    try:
        with ring.open("x+b") as file:
            try:
                if hasattr(os, "posix_fallocate"):
                    # A page that the disk has no room for would end the job when it is first written to.
                    os.posix_fallocate(file.fileno(), 0, size)
                else:
                    file.truncate(size)
                return mmap.mmap(file.fileno(), size), table
            except BaseException:
                ring.unlink()
                raise
    except BaseException:
        table.close()
        names.unlink()
        raise
