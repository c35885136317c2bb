"""Reading a trace file, also while its process is still writing it (see ring.py)."""

from __future__ import annotations

import math
import os
import stat
import struct
from typing import TYPE_CHECKING, Any, Final

from collectivelint import reading

from . import mapped, validation
from .model import Event, Rank, State
from .ring import (
    ASKED,
    BEGUN,
    BEGUN_AT,
    ENDS,
    ERROR,
    HEADER,
    HOST,
    IN_ORDER,
    KINDS,
    LOCAL,
    MAGIC,
    OLDEST_VERSION,
    RECORD,
    RECORDS_AT,
    STATE_AT,
    STREAM,
    STREAMS,
    STREAMS_AT,
    VERSION,
    TraceError,
    fence,
)
from .stream_table import Streams
from .string_table import Names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from .model import Exit

#: What a reader believes of a header.
_MOST: Final = 1 << 20
_NUMBER: Final = struct.Struct("<Q")
_LARGEST_EXIT: Final = 1 << 12
#: By value, which `State(value)` finds more slowly.
_STATES: Final = tuple(State)
_CREATE: Final = KINDS.index("create")
#: No time (in seconds since the epoch) is later.
NEVER: Final = float(1 << 40)


def ring_files(folder: Path) -> list[Path]:
    """The rings in a run's folder. Only regular files count: no links, and no pipes, which could block the reader."""
    return sorted(file for file in folder.glob("*.ring") if _is_regular(file))


def _is_regular(file: Path) -> bool:
    try:
        return stat.S_ISREG(file.lstat().st_mode)
    except OSError:
        # Removed meanwhile.
        return False


def exit_file(ring: Path) -> Path:
    """The file in which the launcher records the end of the process, beside its ring."""
    return ring.with_suffix(".exit")


class Reader:
    """The trace of one process, running or not. `data`: its ring of `capacity` records; `names`: its string table."""

    def __init__(self, ring: Path, *, keep: bool = False) -> None:
        """Open a trace; raises TraceError if the file is not one.

        `keep`: keep its files open, so that it can be read after they have been removed.
        """
        self.path = ring
        self.data = mapped.opened(ring)
        if len(self.data) < HEADER.size or not self.data[:8] == MAGIC:
            raise TraceError(f"{ring}: not a collectivelint trace")
        _, version, self.capacity, self.number, self.world_size, self.pid, *rest = self._header()
        self.attempt, self.started = rest[:2]
        if not OLDEST_VERSION <= version <= VERSION:
            known = f"this release reads versions {OLDEST_VERSION} to {VERSION}"
            raise TraceError(f"{ring}: version {version} of the format, {known}")
        size = RECORDS_AT + self.capacity * RECORD.size
        if not 0 <= self.number < self.world_size or not abs(self.started) < math.inf:
            raise TraceError(f"{ring}: damaged, rank {self.number} of {self.world_size} started at {self.started}")
        if self.capacity > _MOST or self._header()[9] >= len(ENDS):
            raise TraceError(f"{ring}: damaged, its header is not one of ours")
        if not self.capacity or len(self.data) < size:
            raise TraceError(f"{ring}: damaged, {len(self.data)} bytes are too few for {self.capacity} records")
        self.host = _text(self.data[HOST if version > OLDEST_VERSION else slice(HOST.start, ERROR.start)])
        #: When the process began; 0.0 if that is not known.
        self.begun = float(BEGUN.unpack_from(self.data, BEGUN_AT)[0]) if version > OLDEST_VERSION else 0.0
        #: How many ranks there should be on this host; 0 if unknown.
        self.local = int.from_bytes(self.data[LOCAL], "little")
        # Last: what makes it a trace is written when its job has been named.
        self.names = Names(ring.with_suffix(".names"), keep=keep)
        self._streams = Streams(self.names)
        #: For each group whether this rank is a member.
        self._is_member: dict[int, bool] = {}
        #: Ranks with the same belong to one job, see jobs.py.
        self.job = (self.names.job, self.world_size)
        #: Of a process that has left: read once, since nothing comes after it.
        self._last: float | None = None

    def _header(self) -> tuple[Any, ...]:
        if self.data.size() < len(self.data):
            # Reading behind the end of a mapped file ends the process.
            raise TraceError(f"{self.path}: damaged, it was truncated")
        return HEADER.unpack_from(self.data)

    def update(self) -> None:
        """Read new names; raises TraceError if the trace can no longer be read."""
        self._header()
        self.names.update()

    @property
    def wrong(self) -> str:
        """A message on ignored lines of the names, which are not records of a trace; "" if there are none."""
        count = self.names.wrong
        file = self.path.with_suffix(".names")
        return (
            f"{file}: {count} line{'s are not records' if count > 1 else ' is not a record'} of a trace and ignored"
            * bool(count)
        )

    @property
    def counts_all(self) -> bool:
        """Whether its table of streams has room for all streams."""
        return int(self._header()[10]) <= STREAMS

    @property
    def written(self) -> int:
        """How many events were ever written."""
        return int(self._header()[8])

    def whole(self, last: int | None = None) -> Rank:
        """All events that the ring holds, or the `last` ones and those that have not ended."""
        written = self.written
        first = max(1, written - (min(last, self.capacity) if last is not None else self.capacity) + 1)
        return self.of([*self._open(written, first), *range(first, written + 1)])

    def head(self) -> Rank:
        """The rank with its unfinished calls and its last event only."""
        return self.whole(1)

    def _open(self, written: int, below: int) -> Iterator[int]:
        """Numbers below `below` of events in which the rank is still blocked."""
        first = max(1, written - self.capacity + 1)
        states = self.data[RECORDS_AT + STATE_AT :: RECORD.size]
        for state in (State.ENTERED, State.WAITING):
            slot = states.find(state)
            # Behind what was written all states are 0.
            while 0 <= slot < min(self.capacity, written):
                (number,) = _NUMBER.unpack_from(self.data, RECORDS_AT + slot * RECORD.size)
                if first <= number < below:
                    yield number
                slot = states.find(state, slot + 1)

    def of(self, numbers: Iterable[int]) -> Rank:
        """The rank with the events of these numbers; those that the ring does not hold are left out."""
        records = [record for number in sorted(set(numbers)) if (record := self._record(number))]
        header = self._header()
        written, end, streams = header[8:11]
        table = self.data[STREAMS_AT : STREAMS_AT + min(streams, STREAMS) * STREAM.size]
        # Each name is written before the first record that needs it; so what is read after them has them all.
        self.names.update()
        self._streams.update(table)
        return Rank(
            rank=self.number,
            world_size=self.world_size,
            pid=self.pid,
            host=self.host,
            attempt=self.attempt,
            started=self.started,
            end=ENDS[end],
            error=_text(self.data[ERROR]),
            events=tuple(self._events(records, written - self.capacity + 1)),
            lost=max(0, written - self.capacity + 1),
            callers={key: frozenset(threads) for key, threads in self.names.callers.items()},
            others=frozenset(self.names.threads),
            stack=self.names.stack,
            streams=self._streams.collectives,
            peers=self._streams.peers,
            groups=tuple(self.names.groups.values()),
            destroyed=frozenset(self.names.destroyed),
            stack_time=self.names.stack_time,
            activity=self.names.activity,
            ending=self.names.ending,
            raised=tuple(self.names.raised),
            exit=self._exit(),
        )

    def _exit(self) -> Exit | None:
        """How the launcher saw the process end; None while it runs, or if that is unknown."""
        try:
            return validation.exited(
                validation.parsed(reading.read_bytes(exit_file(self.path), _LARGEST_EXIT, follow=False))
            )
        except (OSError, ValueError):
            return None

    def _record(self, number: int) -> tuple[Any, ...] | None:
        """The record of an event; None if it was overwritten or is being written right now, see ring.py."""
        at = RECORDS_AT + (number - 1) % self.capacity * RECORD.size
        if _NUMBER.unpack_from(self.data, at)[0] != number:
            return None
        if not IN_ORDER:
            fence()
        record = RECORD.unpack_from(self.data, at)
        if not IN_ORDER:
            fence()
        return record if _NUMBER.unpack_from(self.data, at)[0] == number else None

    @property
    def is_running(self) -> bool:
        """Whether the process has not recorded its end; a killed process never does."""
        return ENDS[self._header()[9]] in ("running", "untraced")

    def last_seen(self) -> float:
        """When the process began or ended its last call; infinity while it runs."""
        if self.is_running:
            return math.inf
        if self._last is None:
            self._last = max([self.started, *(max(event.start, event.end) for event in self.head().events)])
            self.release()
        return self._last

    def release(self) -> None:
        """Release the memory of the ring's pages that were read."""
        mapped.release(self.data)

    def ask(self) -> None:
        """Ask the process to record its main thread's stack; a later read may have the answer."""
        flags = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        with os.fdopen(os.open(self.path, flags), "r+b") as file:
            file.seek(ASKED.start)
            asked = int.from_bytes(file.read(4), "little") + 1
            file.seek(ASKED.start)
            file.write(asked.to_bytes(4, "little"))

    def _events(self, records: list[tuple[Any, ...]], first: int) -> Iterator[Event]:
        names = self.names
        for number, group, sequence, signature, place, peer, kind, state, is_async, start, end, *more in records:
            known = names.signatures.get(signature)
            if (
                number <= max(0, first)
                or known is None
                or group not in names.groups
                or place not in names.places
                or kind >= len(KINDS)
                or state > State.FAILED
                or not abs(start) + abs(end) < NEVER
                or (kind < _CREATE and not self.belongs(group))
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
                state=_STATES[state],
                start=start,
                end=end,
                place=names.places[place],
                thread=more[0],
                argument=names.arguments.get(more[1]),
                checksum=more[2],
            )

    def belongs(self, group: int) -> bool:
        """Whether the rank is a member of a group that its names have."""
        found = self._is_member.get(group)
        if found is None:
            found = self._is_member[group] = self.number in self.names.groups[group].ranks
        return found


def read_rank(ring: Path) -> Rank:
    """Read the whole trace of one process. Raises TraceError if the file is not a trace."""
    return Reader(ring).whole()


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode(errors="replace")
