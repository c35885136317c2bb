"""The trace file: one for each process, written so that a killed process leaves everything up to its last call.

Two files stand side by side. Version 5, little endian, every field aligned to its size:

`NAME.ring`, memory-mapped:

* a header of 512 bytes: magic `CLTRACE\\0`, then version u32, capacity u32, rank i32, world size i32, pid i32, attempt
  i32, started f64, written u64 (the number of events so far), end u32 (0 running, 1 finished, 2 raised, 3 untraced from
  here on), streams u32 (how
  many there are; more than 4096 means that some are not counted), asked u32 (raised by whoever wants to know where the
  main thread is), local u32 (how many ranks the launcher started on this host, 0 if it did not say), from byte 64 the
  host name, at byte 184 when the process began f64 (seconds since the epoch, 0.0 if that was not known; version 4 has
  none), from byte 192 the exception; both texts are UTF-8 padded with zeros;
* 4096 streams of 16 bytes: count u32, hash u32, hash at the last multiple of 64 u32, pad 4;
* `capacity` records of 64 bytes; event n (from 1) stands in slot (n - 1) % capacity:

    number u64, group u32, sequence u32, signature u32, place u32, peer i32, kind u8, state u8, is_async u8, pad u8,
    start f64, end f64, thread u32, pad 12

`thread` is 0 for the main thread and for threads of C++, which autograd runs while the main thread waits for it; else it
is the number the system gives the thread. The reader looks at `written` again when it has the records: those that may
have been overwritten meanwhile are left out.

`NAME.names`, one JSON object a line, appended: `{"id": 3, "group": {...}}`, `{"id": 4, "place": {...}}` or
`{"id": 5, "signature": {...}}`, each before the first record that refers to it; `{"id": 0, "stream": {...}}`, where id is
the place in the table of streams; `{"id": 6, "caller": {"group": 3, "thread": 4711}}` for a thread other than the main one
that calls on a group; `{"id": 7, "threads": [4711]}`, those that run the project's own code now; `{"id": 8, "job": "..."}`, where the
ranks of the job meet; `{"id": 9, "destroyed": 3}`, a group that was destroyed; and `{"id": 1, "stack": [...]}`, the answer
to the first question, innermost frame first.
"""

from __future__ import annotations

import itertools
import json
import math
import mmap
import os
import stat
import struct
import time
from typing import TYPE_CHECKING, Any, Final

from collectivelint import reading

from . import folders, processes
from .model import Event, Rank, State, Trace
from .string_table import Names
from .string_table import TraceError as TraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import FileIO
    from pathlib import Path

    from .model import End, Kind

MAGIC: Final = b"CLTRACE\0"
VERSION: Final = 5
#: Traces of the release before: they do not say when the process began.
_OLDER: Final = 4
HEADER: Final = struct.Struct("<8sIIiiiidQII")
RECORD: Final = struct.Struct("<QIIIIiBBBxddI12x")
STREAM: Final = struct.Struct("<III4x")
_HOST: Final = slice(64, 184)
_BEGUN_AT: Final = 184
_ERROR: Final = slice(192, 512)
_WRITTEN_AT: Final = 40
_ENDED: Final = slice(48, 52)
_STREAMS: Final = slice(52, 56)
_ASKED: Final = slice(56, 60)
_LOCAL: Final = slice(60, 64)
_STREAMS_AT: Final = 512
STREAMS: Final = 4096
_RECORDS_AT: Final = _STREAMS_AT + STREAMS * STREAM.size
_STATE_AT: Final = 29
_END_AT: Final = 40
_THREAD_AT: Final = 48
_pack: Final = RECORD.pack_into
_pack_count: Final = struct.Struct("<II").pack_into
_pack_thread: Final = struct.Struct("<I").pack_into
_BEGUN: Final = struct.Struct("<d")
#: A stream's hash is kept at every so many calls, so that ranks which are a few calls apart can be compared.
BLOCK: Final = 64

KINDS: Final[tuple[Kind, ...]] = ("collective", "p2p", "create", "outsider")
ENDS: Final[tuple[End, ...]] = ("running", "finished", "raised", "untraced")
#: 4 MiB for each rank; an older event is overwritten when it is full.
CAPACITY: Final = 65_536
#: What a reader believes of a header.
_MOST: Final = 1 << 20


class Writer:
    """The trace of this process. `add` is called before the operation, `mark` as it goes on, `end` when it has ended."""

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
        self._map[_LOCAL] = local.to_bytes(4, "little")
        self._map[_HOST] = host.encode()[:119].ljust(120, b"\0")
        _BEGUN.pack_into(self._map, _BEGUN_AT, processes.started(os.getpid()))
        self._bytes = memoryview(self._map)
        self._words = self._bytes.cast("Q")
        self._floats = self._bytes.cast("d")
        # Handed out by C, and so never twice, also when a signal's handler calls in the middle.
        self._numbers = itertools.count(1)
        self._ids = itertools.count(1)
        self._streams = itertools.count()
        self.name("job", job)
        # Last: whoever looks in between would keep what it has seen by then, and take this rank for one of another job.
        self._map[: len(MAGIC)] = MAGIC

    def name(self, what: str, value: Any) -> int:
        """Store a group, place or signature; its id."""
        number = next(self._ids)
        self._names.write(json.dumps({"id": number, what: value}).encode() + b"\n")
        return number

    def stream(self, value: dict[str, Any]) -> int:
        """Store what is counted together; its place in the table. Beyond the end of the table nothing is counted."""
        number = next(self._streams)
        if number < STREAMS:
            self._names.write(json.dumps({"id": number, "stream": value}).encode() + b"\n")
        self._map[_STREAMS] = (number + 1).to_bytes(4, "little")
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
        """Write an event that is about to start; its number. `rolled` is the hash of its stream with this event."""
        number = next(self._numbers)
        at = _RECORDS_AT + (number - 1) % CAPACITY * 64
        _pack(
            self._map,
            at,
            number,
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
        if stream < STREAMS:
            table = _STREAMS_AT + stream * 16
            if sequence % BLOCK:
                _pack_count(self._map, table, sequence, rolled)
            else:
                STREAM.pack_into(self._map, table, sequence, rolled, rolled)
        if number > self._words[_WRITTEN_AT // 8]:
            self._words[_WRITTEN_AT // 8] = number
        return number

    def mark(self, number: int, state: State, thread: int = 0) -> None:
        """Note how far an event has come, and in which thread; nothing happens if the ring has moved past it."""
        at = _RECORDS_AT + (number - 1) % CAPACITY * 64
        if self._words[at // 8] == number:
            _pack_thread(self._map, at + _THREAD_AT, thread)
            self._bytes[at + _STATE_AT] = state

    def recount(self, stream: int, calls: int, rolled: int) -> None:
        """Take the last call of a stream back."""
        if stream < STREAMS:
            _pack_count(self._map, _STREAMS_AT + stream * 16, calls, rolled)

    def end(self, number: int, state: State, end: float) -> None:
        """Note that an event has ended; nothing happens if the ring has moved past it."""
        at = _RECORDS_AT + (number - 1) % CAPACITY * 64
        if self._words[at // 8] == number:
            self._floats[(at + _END_AT) // 8] = end
            self._bytes[at + _STATE_AT] = state

    @property
    def asked(self) -> int:
        """How often somebody has wanted to know where the main thread is."""
        return int.from_bytes(self._map[_ASKED], "little")

    def answer(self, number: int, stack: list[str]) -> None:
        """Say where the main thread is."""
        self._names.write(json.dumps({"id": number, "stack": stack}).encode() + b"\n")

    def finish(self, end: End, error: str = "") -> None:
        """Say how the process ended."""
        self._map[_ERROR] = error.encode()[:319].ljust(320, b"\0")
        self._map[_ENDED] = ENDS.index(end).to_bytes(4, "little")


def _created(folder: Path, name: str) -> tuple[mmap.mmap, FileIO]:
    """New files of this name, mapped and opened; nothing that is there already is written to, nor what a link leads to."""
    size = _RECORDS_AT + CAPACITY * RECORD.size
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


def files(folder: Path) -> list[Path]:
    """The rings of a run's folder. What is no regular file is none: it may be a link, or a pipe that is never written to."""
    return sorted(file for file in folder.glob("*.ring") if _is_regular(file))


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except OSError:
        # Removed meanwhile.
        return False


class Reader:
    """The trace of one process, also while that goes on writing."""

    def __init__(self, ring: Path, *, keep: bool = False) -> None:
        """Open it; raise TraceError where it is not a trace.

        `keep` its files open, so that it is read on when they have been removed.
        """
        self.path = ring
        self._data = _mapped(ring)
        if len(self._data) < HEADER.size or not self._data[:8] == MAGIC:
            raise TraceError(f"{ring}: not a collectivelint trace")
        _, version, self._capacity, self.number, self.world_size, self.pid, self.attempt, self.started, *_ = (
            self._header()
        )
        if version not in (VERSION, _OLDER):
            raise TraceError(
                f"{ring}: version {version} of the format, this release reads versions {_OLDER} and {VERSION}"
            )
        size = _RECORDS_AT + self._capacity * RECORD.size
        if not 0 <= self.number < self.world_size or not abs(self.started) < math.inf:
            raise TraceError(f"{ring}: damaged, rank {self.number} of {self.world_size} started at {self.started}")
        if self._capacity > _MOST or self._header()[9] >= len(ENDS):
            raise TraceError(f"{ring}: damaged, its header is not one of ours")
        if not self._capacity or len(self._data) < size:
            raise TraceError(f"{ring}: damaged, {len(self._data)} bytes are too few for {self._capacity} records")
        self.host = _text(self._data[_HOST if version == VERSION else slice(_HOST.start, _ERROR.start)])
        #: When the process began; 0.0 if that is not known.
        self.begun = float(_BEGUN.unpack_from(self._data, _BEGUN_AT)[0]) if version == VERSION else 0.0
        #: How many ranks there should be on this host; 0 if nobody said.
        self.local = int.from_bytes(self._data[_LOCAL], "little")
        # Last: what makes it a trace is written when its job has been named.
        self._names = Names(ring.with_suffix(".names"), keep=keep)
        #: For each group whether this rank is a member.
        self._is_member: dict[int, bool] = {}
        #: Ranks with the same belong to one job, see `newest`.
        self.job = (self._names.job, self.world_size)

    def _header(self) -> tuple[Any, ...]:
        if self._data.size() < len(self._data):
            # The system ends whoever reads behind the end of a mapped file.
            raise TraceError(f"{self.path}: damaged, it was truncated")
        return HEADER.unpack_from(self._data)

    def update(self) -> None:
        """Read the names on; raise TraceError if the trace cannot be read any more."""
        self._header()
        self._names.update()

    @property
    def wrong(self) -> str:
        """How many lines of the names were left out, since they are none of ours; "" if none was."""
        count = self._names.wrong
        file = self.path.with_suffix(".names")
        return (
            f"{file}: {count} line{'s are no records' if count > 1 else ' is no record'} of a trace and left out"
            * bool(count)
        )

    @property
    def written(self) -> int:
        """How many events there have been."""
        return int(self._header()[8])

    def whole(self, last: int | None = None) -> Rank:
        """All events that the ring holds, or only the last, and those that go on."""
        written = self.written
        first = max(1, written - (min(last, self._capacity) if last is not None else self._capacity) + 1)
        return self._rank([*self._open(written, first), *range(first, written + 1)])

    def head(self) -> Rank:
        """The calls that go on, and the last event."""
        return self.whole(1)

    def _open(self, written: int, below: int) -> Iterator[int]:
        """Events before a number that have not ended and for whose end somebody waits."""
        first = max(1, written - self._capacity + 1)
        states = self._data[_RECORDS_AT + _STATE_AT :: RECORD.size]
        for state in (State.ENTERED, State.WAITING):
            slot = states.find(state)
            while 0 <= slot < self._capacity:
                (number,) = _NUMBER.unpack_from(self._data, _RECORDS_AT + slot * RECORD.size)
                if first <= number < below:
                    yield number
                if number == 0:
                    # Never written to, and neither is anything behind it.
                    break
                slot = states.find(state, slot + 1)

    def _rank(self, numbers: Iterable[int]) -> Rank:
        records = [
            RECORD.unpack_from(self._data, _RECORDS_AT + (number - 1) % self._capacity * RECORD.size)
            for number in sorted(set(numbers))
        ]
        header = self._header()
        written, end, streams = header[8:11]
        table = [STREAM.unpack_from(self._data, _STREAMS_AT + index * 16) for index in range(min(streams, STREAMS))]
        # Each name is written before the first record that needs it; so what is read after them has them all.
        self._names.update()
        return Rank(
            rank=self.number,
            world_size=self.world_size,
            pid=self.pid,
            host=self.host,
            attempt=self.attempt,
            started=self.started,
            end=ENDS[end],
            error=_text(self._data[_ERROR]),
            events=tuple(self._events(records, written - self._capacity + 1)),
            lost=max(0, written - self._capacity + 1),
            callers={key: frozenset(threads) for key, threads in self._names.callers.items()},
            others=frozenset(self._names.threads),
            stack=self._names.stack,
            streams=self._names.counted(table),
            groups=tuple(self._names.groups.values()),
            destroyed=frozenset(self._names.destroyed),
        )

    @property
    def is_running(self) -> bool:
        """Has the process not said that it ends? One that was killed does not say so."""
        return ENDS[self._header()[9]] in ("running", "untraced")

    def last_seen(self) -> float:
        """When the process has begun or ended its last call; now if it has not left."""
        if self.is_running:
            return math.inf
        times = [self.started, *(max(event.start, event.end) for event in self.head().events)]
        return float(max(times))

    def ask(self) -> None:
        """Have the process say where its main thread is; the answer comes with a later reading, if at all."""
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(self.path, flags), "r+b") as file:
            file.seek(_ASKED.start)
            asked = int.from_bytes(file.read(4), "little") + 1
            file.seek(_ASKED.start)
            file.write(asked.to_bytes(4, "little"))

    def _events(self, records: list[tuple[Any, ...]], first: int) -> Iterator[Event]:
        names = self._names
        for number, group, sequence, signature, place, peer, kind, state, is_async, start, end, thread in records:
            known = names.signatures.get(signature)
            if (
                number <= max(0, first)
                or known is None
                or group not in names.groups
                or place not in names.places
                or kind >= len(KINDS)
                or state > State.FAILED
                or not abs(start) + abs(end) < _NEVER
                or (kind < _CREATE and not self._belongs(group))
            ):
                # Overwritten while we read, torn by the end of the process, or refused and not counted.
                continue
            yield Event(
                rank=self.number,
                number=number,
                kind=KINDS[kind],
                op=known["op"],
                group=names.groups[group],
                sequence=sequence,
                peer=peer,
                signature=known,
                is_async=bool(is_async),
                state=State(state),
                start=start,
                end=end,
                place=names.places[place],
                thread=thread,
            )

    def _belongs(self, group: int) -> bool:
        found = self._is_member.get(group)
        if found is None:
            found = self._is_member[group] = self.number in self._names.groups[group].ranks
        return found


_NUMBER: Final = struct.Struct("<Q")
_CREATE: Final = KINDS.index("create")
#: No time (in seconds since the epoch) is later.
_NEVER: Final = float(1 << 40)


def _mapped(ring: Path) -> mmap.mmap:
    try:
        handle = reading.opened(ring, follow=False)
        try:
            return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(handle)
    except ValueError:
        raise TraceError(f"{ring}: not a collectivelint trace, it is empty") from None
    except OSError as error:
        raise TraceError(f"{ring}: {error.strerror or error}") from None


def read(ring: Path) -> Rank:
    """Read the whole trace of one process; raise TraceError where it is not one."""
    return Reader(ring).whole()


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")


def load(folder: Path, unreadable: list[str] | None = None) -> Trace:
    """Read a run, or the newest one below a folder: of several jobs the largest and newest, of every rank the newest attempt.

    `unreadable` gets what is wrong with those that cannot be read. Raise TraceError if no other is there.
    """
    problems = unreadable if unreadable is not None else []
    readers = [reader for some in parts(folder, problems).values() for reader in some]
    return Trace(ranks(readers, problems))


def ranks(readers: Iterable[Reader], unreadable: list[str]) -> dict[int, Rank]:
    """What they have recorded, in the order of the ranks."""
    found = {}
    for reader in sorted(readers, key=lambda reader: reader.number):
        try:
            found[reader.number] = reader.whole()
        except TraceError as error:
            unreadable.append(str(error))
    return found


def opened(run: Path, unreadable: list[str]) -> Iterator[Reader]:
    """The traces of a run's folder that can be read."""
    for file in files(run):
        try:
            yield Reader(file)
        except TraceError as error:
            unreadable.append(str(error))


def parts(folder: Path, unreadable: list[str]) -> dict[Path, list[Reader]]:
    """The folder of a run with the ranks of its job, then those where launchers on other hosts have left ranks of that job.

    Raise TraceError if there is none that can be read.
    """
    run = folders.newest(folder)
    readers = list(opened(run, unreadable))
    if not readers and unreadable:
        raise TraceError("; ".join(unreadable))
    if not readers:
        raise TraceError(
            f"{run}: no trace here; no process of the job called init_process_group, or none could write one"
        )
    found = {run: jobs(readers)[0]}
    first = found[run][0]
    known = {reader.number for reader in found[run]}
    for other in folders.runs(run.parent) if len(known) < first.world_size else ():
        for some in jobs(opened(other, [])) if other.name != run.name else ():
            if (
                first.job == some[0].job
                and not known & {reader.number for reader in some}
                and _begin_together(first, some)
            ):
                found[other] = some
                known |= {reader.number for reader in some}
    return found


def _begin_together(first: Reader, others: list[Reader]) -> bool:
    """True for ranks that may have left the same init_process_group; clocks of hosts differ a little."""
    return all(reader.attempt == first.attempt and abs(reader.started - first.started) < _APART for reader in others)


def jobs(readers: Iterable[Reader]) -> list[list[Reader]]:
    """The ranks of each job, in their order; the job with the most ranks first, of equals the newest.

    A process may start another job with ranks of its own (an evaluation), and a folder may hold several, one after another.
    """
    found: dict[tuple[str, int], list[Reader]] = {}
    for reader in readers:
        found.setdefault(reader.job, []).append(reader)
    ranks = [newest(some) for some in found.values()]
    return sorted(ranks, key=lambda some: (-len(some), -max(reader.started for reader in some)))


def newest(readers: Iterable[Reader]) -> list[Reader]:
    """Of several attempts of a job the last: one reader for each rank, in their order."""
    found: dict[int, Reader] = {}
    for reader in readers:
        known = found.get(reader.number)
        if known is None or (known.attempt, known.started) < (reader.attempt, reader.started):
            found[reader.number] = reader
    last = max((reader.attempt for reader in found.values()), default=0)
    begun = max((reader.started for reader in found.values()), default=0.0)
    return [
        reader
        for _, reader in sorted(found.items())
        # All ranks of a job begin together; what had ended by then was the same job a while ago.
        if reader.attempt == last and reader.last_seen() >= begun - _TOGETHER
    ]


#: Seconds by which the ranks of a job may begin apart.
_TOGETHER: Final = 1.0
#: The same for ranks of several hosts.
_APART: Final = 60.0
