"""The string table beside a ring: groups, places, signatures and what else is stored once (ring.py has the format)."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from collectivelint import reading

from . import validation
from .ring import TraceError

if TYPE_CHECKING:
    from pathlib import Path

    from .model import Activity, Argument, Ending, Group, GroupKey, Place, Raised


#: More than any job has left; what is larger is not ours.
_LARGEST: Final = 1 << 30
_LONGEST: Final = 1 << 26
_PIECE: Final = 1 << 20
#: Every rank names its groups. The lines of those of thousands of ranks, behind their numbers, are parsed once.
_GROUPS: Final[dict[bytes, Group]] = {}
_MOST_GROUPS: Final = 64
_LONG: Final = 4096
_GROUP: Final = re.compile(rb'\{"id": (0|[1-9][0-9]{0,8}), "group": ')


class Names:
    """The string table beside a ring; `update` reads what has been added."""

    def __init__(self, file: Path, *, keep: bool = False) -> None:
        """Read the file so far; raises TraceError if it cannot be read.

        `keep`: keep the file open, so that it can be read after its folder has been removed.
        """
        self._file = file
        self._keep = keep
        self._handle: int | None = None
        self._read = 0
        #: The beginning of a line that is still being written.
        self._rest = bytearray()
        self.groups: dict[int, Group] = {}
        self.places: dict[int, Place] = {}
        self.signatures: dict[int, dict[str, Any]] = {}
        self.streams: dict[int, dict[str, Any]] = {}
        self.arguments: dict[int, Argument] = {}
        #: How often a group or a stream has come under a number that was another's: never, in what is ours.
        self.redefined = 0
        self.callers: dict[GroupKey, set[int]] = {}
        self.destroyed: set[GroupKey] = set()
        self.stack: tuple[str, ...] = ()
        self.stack_time = 0.0
        self.activity: Activity | None = None
        self.ending: Ending | None = None
        self.raised: list[Raised] = []
        self.threads: tuple[int, ...] = ()
        self.job = ""
        #: How many lines were none of ours, and left out.
        self.wrong = 0
        self.update()

    def update(self) -> None:
        """Read what has been added since."""
        try:
            handle = self._handle if self._handle is not None else reading.opened(self._file, follow=False)
            try:
                os.lseek(handle, self._read, os.SEEK_SET)
                while data := os.read(handle, _PIECE):
                    self._take(data)
            finally:
                if self._keep:
                    self._handle = handle
                else:
                    os.close(handle)
        except OSError as error:
            raise TraceError(f"{self._file}: {error.strerror or error}") from None

    def _take(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > _LARGEST or len(self._rest) > _LONGEST:
            raise TraceError(f"{self._file}: damaged, it is too large, or a line of it is")
        # The last line may still be being written, or be the last of a process that was killed.
        head, end, tail = data.rpartition(b"\n")
        if not end:
            self._rest += data
            return
        lines = bytes(self._rest + head).split(b"\n")
        self._rest = bytearray(tail)
        for row in validation.parsed_lines([line for line in lines if not self._take_group(line)]):
            try:
                self._add(validation.mapping(row))
            except ValueError:
                self.wrong += 1

    def _take_group(self, line: bytes) -> bool:
        """Read a line that defines a group of very many ranks; returns whether it was one."""
        match = _GROUP.match(line) if len(line) > _LONG else None
        if match is None:
            return False
        text = line[match.end() :]
        group = _GROUPS.get(text)
        if group is None:
            try:
                group = validation.group(validation.mapping(validation.parsed(line)).get("group"))
            except ValueError:
                return False
            if len(_GROUPS) >= _MOST_GROUPS:
                _GROUPS.clear()
            _GROUPS[text] = group
        number = int(match[1])
        self.redefined += number in self.groups
        self.groups[number] = group
        return True

    def close(self) -> None:
        """Close the file that was kept open."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle, self._keep = None, False

    def __del__(self) -> None:
        """Close the file: readers are never closed explicitly, as they are used until the job has ended."""
        self.close()

    def _add(self, row: dict[str, Any]) -> None:
        """Read a line; raises ValueError if it is not valid."""
        match row:
            # Those of which there are most come first.
            case {"id": int(number), "signature": signature}:
                self.signatures[number] = validation.signature(signature)
            case {"id": int(number), "argument": argument}:
                self.arguments[number] = validation.argument(argument)
            case {"id": int(number), "stream": stream}:
                self.redefined += number in self.streams
                self.streams[number] = validation.stream(stream)
            case {"id": int(number), "group": group}:
                self.redefined += number in self.groups
                self.groups[number] = validation.group(group)
            case {"id": int(number), "place": place}:
                self.places[number] = validation.place(place)
            case {"caller": {"group": int(group), "thread": thread}}:
                self.callers.setdefault(self._key(group), set()).add(validation.number(thread))
            case {"destroyed": int(group)}:
                self.destroyed.add(self._key(group))
            case {"threads": threads}:
                self.threads = tuple(map(validation.number, validation.items(threads)))
            case {"job": job}:
                self.job = validation.text(job)
            case {"stack": stack}:
                self.stack_time = validation.real(row.get("time", 0))
                self.stack = tuple(map(validation.text, validation.items(stack)))
                activity = row.get("activity")
                self.activity = validation.activity(activity) if activity is not None else None
            case {"ended": ended}:
                self.ending = validation.ending(ended)
            case {"raised": {"group": int(group)} as raised}:
                self.raised.append(validation.raised(raised, self._key(group)))
            case _:
                raise ValueError("none of ours")

    def _key(self, group: int) -> GroupKey:
        if group not in self.groups:
            raise ValueError("no such group")
        return self.groups[group].key
