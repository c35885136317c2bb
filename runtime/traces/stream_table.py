"""The stream table of a trace: how many calls each stream has had. Rereading it decodes only rows that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

from .model import Counted
from .ring import STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .model import CollectiveKey, PeerKey
    from .string_table import Names

#: Bytes that are compared at once: 32 rows.
_PIECE: Final = 32 * STREAM.size
#: Where the count of a row is kept, and under which key.
_Entry: TypeAlias = "tuple[dict[Any, Counted], Any]"


class Streams:
    """The counts of all streams of a rank."""

    def __init__(self, names: Names) -> None:
        """`names`: the string table that names the rows."""
        self._names = names
        #: Those of the last update; they do not change with the next.
        self.collectives: dict[CollectiveKey, Counted] = {}
        self.peers: dict[PeerKey, Counted] = {}
        self._clear()

    def _clear(self) -> None:
        self._redefined = self._names.redefined
        self._table = b""
        self._collectives: dict[CollectiveKey, Counted] = {}
        self._peers: dict[PeerKey, Counted] = {}
        #: By row; not those of which the name is not known yet, or which another row has as well.
        self._entries: dict[int, _Entry] = {}
        self._row_of: dict[Any, int] = {}
        self._nameless: set[int] = set()

    def update(self, table: bytes) -> None:
        """Read the current table. `names` must have been updated after the table was read."""
        if self._names.redefined != self._redefined:
            self._clear()
        rows = [*_changed(self._table, table), *self._nameless]
        self._nameless = {row for row in rows if row not in self._entries and not self._name(row)}
        for row in rows:
            entry = self._entries.get(row)
            if entry is not None:
                entry[0][entry[1]] = Counted._make(STREAM.unpack_from(table, row * STREAM.size))
        self._table = table
        if rows:
            self.collectives, self.peers = self._collectives.copy(), self._peers.copy()

    def _name(self, row: int) -> bool:
        """Look up the stream of a row; returns whether its name is known."""
        stream = self._names.streams.get(row)
        group = self._names.groups.get(stream["group"]) if stream is not None else None
        if stream is None or group is None:
            return False
        is_p2p = stream["kind"] == "p2p"
        key: Any = (group.key, stream["op"], stream["peer"], stream["tag"]) if is_p2p else (group.key, stream["kind"])
        # A signal's handler may have made the same stream in the middle: the last one counts.
        other = self._row_of.get(key, -1)
        if other < row:
            self._row_of[key] = row
            self._entries.pop(other, None)
            self._entries[row] = (self._peers if is_p2p else self._collectives, key)
        return True


def _changed(old: bytes, new: bytes) -> Iterator[int]:
    """The rows that differ, including those that only `new` has."""
    size = STREAM.size
    for piece in range(0, len(new) if old != new else 0, _PIECE):
        if old[piece : piece + _PIECE] != new[piece : piece + _PIECE]:
            for at in range(piece, min(piece + _PIECE, len(new)), size):
                if old[at : at + size] != new[at : at + size]:
                    yield at // size
