"""The calls of a rank as numpy columns: an Event for each of millions of calls would take minutes and gigabytes.

Groups, sites and signatures have the same numbers on all ranks of a job, see Catalog.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from .model import Numbering, State
from .reader import NEVER
from .ring import KINDS, RECORD, RECORDS_AT, fence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from .model import Event, Group, GroupKey, Place, Rank
    from .reader import Reader

#: A structured array with an entry for each call.
Calls: TypeAlias = "np.ndarray[Any, np.dtype[np.void]]"
Column: TypeAlias = "np.ndarray[Any, np.dtype[Any]]"

#: A record of a ring, see ring.py.
_RECORDS: Final = np.dtype(
    [
        ("number", "<u8"), ("group", "<u4"), ("sequence", "<u4"), ("signature", "<u4"), ("place", "<u4"), ("peer", "<i4"),
        ("kind", "u1"), ("state", "u1"), ("is_async", "u1"), ("pad", "u1"), ("start", "<f8"), ("end", "<f8"),
        ("thread", "<u4"), ("argument", "<u4"), ("checksum", "<u4"), ("rest", "V4"),
    ]
)  # fmt: skip
assert _RECORDS.itemsize == RECORD.size
#: The columns of Calls, as Event has them; op, group, signature and site are numbers of the catalog, kind is one of ring.KINDS.
#: `has_data`: it has an argument or the checksum of its result.
_CALLS: Final = np.dtype(
    [
        ("number", "i8"), ("kind", "u1"), ("state", "u1"), ("is_async", "?"), ("has_data", "?"), ("op", "i4"), ("group", "i4"),
        ("signature", "i4"), ("site", "i4"), ("peer", "i4"), ("sequence", "i8"), ("start", "f8"), ("end", "f8"), ("thread", "i8"),
    ]
)  # fmt: skip
_CREATE: Final = KINDS.index("create")


class Catalog:
    """The operations, groups, sites and signatures of a job's calls, each numbered in order of first use."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        """`groups`: groups to number first, in this order."""
        self.ops: list[str] = []
        self.groups: list[Group] = []
        self.sites: list[Place] = []
        self.signatures: list[Mapping[str, Any]] = []
        #: Of each signature, as JSON.
        self.texts: list[str] = []
        self._key = Numbering()
        #: Numbers of a Numbering have gaps.
        self._groups: dict[int, int] = {}
        self._ops: dict[str, int] = {}
        self._sites: dict[Place, int] = {}
        self._signatures: dict[str, int] = {}
        for group in groups:
            self.group(group)

    def op(self, name: str) -> int:
        """The number of an operation."""
        found = self._ops.setdefault(name, len(self.ops))
        if found == len(self.ops):
            self.ops.append(name)
        return found

    def known(self, key: GroupKey) -> int | None:
        """The number of a group; None if it has none."""
        return self._groups.get(self._key(key))

    def group(self, group: Group) -> int:
        """The number of a group, a new one on first use."""
        found = self._groups.setdefault(self._key(group.key), len(self.groups))
        if found == len(self.groups):
            self.groups.append(group)
        return found

    def site(self, place: Place) -> int:
        """The number of a call site and its stack."""
        found = self._sites.setdefault(place, len(self.sites))
        if found == len(self.sites):
            self.sites.append(place)
        return found

    def signature(self, signature: Mapping[str, Any]) -> int:
        """The number of a signature."""
        text = json.dumps(signature, sort_keys=True, default=str)
        found = self._signatures.setdefault(text, len(self.texts))
        if found == len(self.texts):
            self.texts.append(text)
            self.signatures.append(signature)
        return found


def of_reader(reader: Reader, catalog: Catalog) -> Calls:
    """The calls that a ring holds, oldest first: those of `reader.whole()`. Raises TraceError if it cannot be read."""
    records = _records(reader)
    # Each name is written before the first record that needs it; so what is read after them has them all.
    reader.update()
    names = reader.names
    known = (
        (records["number"] > max(0, reader.written - reader.capacity + 1))
        & _among(records["signature"], names.signatures)
        & _among(records["group"], names.groups)
        & _among(records["place"], names.places)
        & (records["kind"] < len(KINDS))
        & (records["state"] <= State.FAILED)
    )
    records = records[known]
    members = [group for group in names.groups if reader.belongs(group)]
    with np.errstate(invalid="ignore", over="ignore"):
        is_sane = np.abs(records["start"]) + np.abs(records["end"]) < NEVER
    records = records[is_sane & ((records["kind"] >= _CREATE) | _among(records["group"], members))]
    calls = np.empty(len(records), _CALLS)
    for column in ("number", "kind", "state", "peer", "sequence", "start", "end", "thread"):
        calls[column] = records[column]
    calls["is_async"] = records["is_async"] != 0
    calls["has_data"] = (records["argument"] != 0) | (records["checksum"] != 0)
    calls["op"] = numbered(records["signature"], lambda number: catalog.op(names.signatures[number]["op"]))
    calls["group"] = numbered(records["group"], lambda group: catalog.group(names.groups[group]))
    calls["signature"] = numbered(records["signature"], lambda number: catalog.signature(names.signatures[number]))
    calls["site"] = numbered(records["place"], lambda place: catalog.site(names.places[place]))
    return calls


def of_rank(rank: Rank, catalog: Catalog) -> Calls:
    """The calls of a rank whose events are in memory."""
    #: By identity, which the events keep: their signatures and places are shared, and hashing each would take most of the time.
    known: dict[int, int] = {}

    def numbers(event: Event) -> tuple[int, int]:
        signature = known.get(id(event.signature))
        if signature is None:
            signature = known[id(event.signature)] = catalog.signature(event.signature)
        site = known.get(id(event.place))
        if site is None:
            site = known[id(event.place)] = catalog.site(event.place)
        return signature, site

    rows = [
        (
            event.number, KINDS.index(event.kind), event.state, event.is_async, event.argument is not None or event.checksum,
            catalog.op(event.op), catalog.group(event.group), *numbers(event), event.peer, event.sequence, event.start, event.end, event.thread,
        )
        for event in rank.events
    ]  # fmt: skip
    return np.array(rows, _CALLS)


def numbered(column: Column, number: Callable[[int], int]) -> Column:
    """The column with each value replaced by `number(value)`, which is called in order of first use."""
    values, first, where = np.unique(column, return_index=True, return_inverse=True)
    numbers = np.empty(len(values), np.int32)
    for position in np.argsort(first):
        numbers[position] = number(int(values[position]))
    return numbers[where]


def _records(reader: Reader) -> Calls:
    """The valid records of the ring, oldest first: not overwritten, and not being written right now (see ring.py)."""
    written = reader.written
    count = min(written, reader.capacity)
    mapped = np.frombuffer(reader.data, _RECORDS, count, RECORDS_AT)
    before = mapped["number"].copy()
    fence()
    records = mapped.copy()
    fence()
    # The newest event that belongs into each slot.
    slots = np.arange(count, dtype=np.int64)
    numbers = slots + 1 + (written - 1 - slots) // reader.capacity * reader.capacity if count else slots
    is_whole = (before == numbers) & (records["number"] == numbers) & (mapped["number"] == numbers)
    oldest = written % reader.capacity if written > count else 0
    found: Calls = np.roll(records, -oldest)[np.roll(is_whole, -oldest)]
    return found


def _among(column: Column, known: Collection[int]) -> Column:
    """A mask of the values that are in `known`, which may be as long as the column."""
    values, where = np.unique(column, return_inverse=True)
    has = frozenset(known)
    return np.array([int(value) in has for value in values], bool)[where]
