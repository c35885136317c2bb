"""Rank variance: how a value differs between ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record
from .causes import Cause, merged
from .records import KEEP, Keep

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .symbol import Symbol

_NO_AXES: Final[frozenset[Symbol]] = frozenset()
_NO_NAMES: Final[frozenset[str]] = frozenset()


class Uniformity(Record):
    """The axes that a value varies over, and why."""

    __slots__ = ("absent", "causes", "depends", "equal_where", "maybe", "one", "present", "varies")

    def __init__(
        self,
        varies: frozenset[Symbol] = _NO_AXES,
        causes: tuple[Cause, ...] = (),
        depends: frozenset[str] = _NO_NAMES,
        one: bool | None = None,
        maybe: bool = False,
        absent: frozenset[Symbol] = _NO_AXES,
        present: Symbol | None = None,
        equal_where: Symbol | None = None,
    ):
        """Parameters left out are unknown."""
        #: The axes over which it differs between ranks; empty: uniform, or nothing is known.
        self.varies: Final = varies or _NO_AXES
        #: Where the difference comes from, the first ones only.
        self.causes: Final = causes
        #: The parameters of the function that flow into it.
        self.depends: Final = depends or _NO_NAMES
        #: Of a condition: it holds on exactly one rank (True), or on all but one (False).
        self.one: Final = one
        #: It varies only under some configuration (`rank == 0 if coordinated else True`).
        self.maybe: Final = maybe
        #: The axes over which it is None on some ranks only.
        self.absent: Final = absent or _NO_AXES
        #: The condition of the ranks where it is not None.
        self.present: Final = present
        #: The condition under which it is equal on all ranks, although it varies otherwise.
        self.equal_where: Final = equal_where

    def but(
        self,
        varies: frozenset[Symbol] | Keep = KEEP,
        causes: tuple[Cause, ...] | Keep = KEEP,
        depends: frozenset[str] | Keep = KEEP,
        one: bool | Keep | None = KEEP,
        maybe: bool | Keep = KEEP,
        absent: frozenset[Symbol] | Keep = KEEP,
        present: Symbol | Keep | None = KEEP,
        equal_where: Symbol | Keep | None = KEEP,
    ) -> Uniformity:
        """A copy with other values for these fields; `UNIFORM` where nothing is left to say."""
        found = Uniformity(
            self.varies if isinstance(varies, Keep) else varies,
            self.causes if isinstance(causes, Keep) else causes,
            self.depends if isinstance(depends, Keep) else depends,
            self.one if isinstance(one, Keep) else one,
            self.maybe if isinstance(maybe, Keep) else maybe,
            self.absent if isinstance(absent, Keep) else absent,
            self.present if isinstance(present, Keep) else present,
            self.equal_where if isinstance(equal_where, Keep) else equal_where,
        )
        says_nothing = (
            not found.varies
            and not found.depends
            and found.one is None
            and not found.causes
            and not found.maybe
            and not found.absent
            and found.present is None
            and found.equal_where is None
        )
        return UNIFORM if says_nothing else found

    def join(self, other: Uniformity) -> Uniformity:
        """The join of two alternatives: it varies as both do.

        Commutative, associative and idempotent except for the order of the causes, of which the first ones are kept.
        """
        if self is other or self == other:
            return self
        return Uniformity(
            self.varies | other.varies,
            merged(self.causes, other.causes),
            self.depends | other.depends,
            self.one if self.one is other.one else None,
            self.maybe or other.maybe,
            self.absent | other.absent,
            self.present if self.present is other.present else None,
            self.equal_where if self.equal_where is other.equal_where else None,
        )

    def _fields(self) -> tuple[object, ...]:
        return (
            self.varies,
            self.causes,
            self.depends,
            self.one,
            self.maybe,
            self.absent,
            self.present,
            self.equal_where,
        )


#: Of a value that nothing is known to make different between ranks.
UNIFORM: Final = Uniformity()


def carried(records: Iterable[Uniformity]) -> Uniformity:
    """The variance of a value computed from others: it varies as they do; facts on conditions or None are dropped."""
    found = UNIFORM
    for record in records:
        if record is UNIFORM:
            continue
        found = Uniformity(
            found.varies | record.varies if record.varies else found.varies,
            merged(found.causes, record.causes) if record.causes else found.causes,
            found.depends | record.depends if record.depends else found.depends,
            maybe=found.maybe or (record.maybe and bool(record.varies)),
        )
    return found
