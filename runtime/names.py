"""The string table beside a ring: groups, places, signatures and what else is stored once (ring.py has the format)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .record import Counted, Group, Place

if TYPE_CHECKING:
    from pathlib import Path

    from .record import GroupKey, StreamKey


class TraceError(Exception):
    """A trace that cannot be read; the message names the file and the reason."""


class Names:
    """The string table beside a ring; `update` reads what has been added."""

    def __init__(self, file: Path) -> None:
        """Read what is there; raise TraceError if it cannot be read."""
        self._file = file
        self._read = 0
        self.groups: dict[int, Group] = {}
        self.places: dict[int, Place] = {}
        self.signatures: dict[int, dict[str, Any]] = {}
        self.streams: dict[int, dict[str, Any]] = {}
        self.callers: dict[GroupKey, set[int]] = {}
        self.destroyed: set[GroupKey] = set()
        self.stack: tuple[str, ...] = ()
        self.threads: tuple[int, ...] = ()
        self.job = ""
        self.update()

    def update(self) -> None:
        """Read what has been added since."""
        try:
            with self._file.open("rb") as file:
                file.seek(self._read)
                data = file.read()
            # The last line may still be being written, or be the last of a process that was killed.
            whole = data.rpartition(b"\n")[0]
            for line in whole.splitlines():
                self._add(line)
        except OSError as error:
            raise TraceError(f"{self._file}: {error.strerror or error}") from None
        except (KeyError, TypeError, AttributeError) as error:
            raise TraceError(f"{self._file}: damaged: {type(error).__name__} {error}") from None
        self._read += len(whole) + bool(whole)

    def _add(self, line: bytes) -> None:
        try:
            row = json.loads(line)
        except ValueError:
            return
        match row:
            case {"id": int(number), "group": group}:
                self.groups[number] = Group(tuple(group["ranks"]), group["ordinal"], group["description"])
            case {"id": int(number), "place": place}:
                self.places[number] = Place(place["path"], place["line"], place["function"], tuple(place["stack"]))
            case {"id": int(number), "signature": {"op": str()} as signature}:
                self.signatures[number] = signature
            case {
                "id": int(number),
                "stream": {"group": int(), "kind": str(), "op": str(), "peer": int(), "tag": int()} as stream,
            }:
                self.streams[number] = stream
            case {"caller": {"group": int(group), "thread": int(thread)}} if group in self.groups:
                self.callers.setdefault(self.groups[group].key, set()).add(thread)
            case {"destroyed": int(group)} if group in self.groups:
                self.destroyed.add(self.groups[group].key)
            case {"threads": list(threads)}:
                self.threads = tuple(map(int, threads))
            case {"job": str(job)}:
                self.job = job
            case {"stack": list(stack)}:
                self.stack = tuple(map(str, stack))

    def counted(self, table: list[tuple[int, int, int]]) -> dict[StreamKey, Counted]:
        """The table of streams by what they are."""
        found: dict[StreamKey, Counted] = {}
        for number, row in enumerate(table):
            stream = self.streams.get(number)
            if stream is not None and stream["group"] in self.groups:
                key = self.groups[stream["group"]].key
                is_p2p = stream["kind"] == "p2p"
                name = (key, stream["op"], stream["peer"], stream["tag"]) if is_p2p else (key, stream["kind"])
                found[name] = Counted(*row)
        return found
