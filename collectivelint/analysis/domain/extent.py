"""The length of a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record
from .causes import Cause, Length, merged
from .records import KEEP, Keep

if TYPE_CHECKING:
    from .symbol import Symbol

_NONE: Final[frozenset[Symbol]] = frozenset()


class Extent(Record):
    """The length of a container, or the size that a number is."""

    __slots__ = ("index_of", "length", "size_of", "uneven", "unordered", "whole")

    def __init__(
        self,
        uneven: tuple[Cause, ...] = (),
        unordered: Cause | None = None,
        size_of: Symbol | None = None,
        length: Length | None = None,
        whole: frozenset[Symbol] = _NONE,
        index_of: Symbol | None = None,
    ):
        """Parameters left out are unknown."""
        #: Why its length differs between ranks; empty: it does not, or nothing is known.
        self.uneven: Final = uneven
        #: Where the set was made over which it iterates.
        self.unordered: Final = unordered
        #: The group whose size is its length, or the number that it is.
        self.size_of: Final = size_of
        #: Where its length comes from.
        self.length: Final = length
        #: What its length is a multiple of.
        self.whole: Final = whole
        #: The group in which it is the number of some rank.
        self.index_of: Final = index_of

    def but(
        self,
        uneven: tuple[Cause, ...] | Keep = KEEP,
        unordered: Cause | Keep | None = KEEP,
        size_of: Symbol | Keep | None = KEEP,
        length: Length | Keep | None = KEEP,
        whole: frozenset[Symbol] | Keep = KEEP,
        index_of: Symbol | Keep | None = KEEP,
    ) -> Extent:
        """A copy with other values for these fields; `UNMEASURED` where nothing is left to say."""
        found = Extent(
            self.uneven if isinstance(uneven, Keep) else uneven,
            self.unordered if isinstance(unordered, Keep) else unordered,
            self.size_of if isinstance(size_of, Keep) else size_of,
            self.length if isinstance(length, Keep) else length,
            self.whole if isinstance(whole, Keep) else whole,
            self.index_of if isinstance(index_of, Keep) else index_of,
        )
        says_nothing = (
            not found.uneven
            and found.unordered is None
            and found.size_of is None
            and found.length is None
            and not found.whole
            and found.index_of is None
        )
        return UNMEASURED if says_nothing else found

    def join(self, other: Extent, *, by_role: bool = False) -> Extent:
        """The join of two alternatives: what both say. `by_role`: the rank decides which one it is.

        Commutative and idempotent except for the order of the causes and the place that is shown of a length.
        """
        if self is other or self == other:
            return self
        return Extent(
            merged(self.uneven, other.uneven),
            self.unordered and other.unordered,
            self.size_of if self.size_of is other.size_of else None,
            longer(self.length, other.length, by_role),
            self.whole & other.whole,
            self.index_of if self.index_of is other.index_of else None,
        )

    def _fields(self) -> tuple[object, ...]:
        return (self.uneven, self.unordered, self.size_of, self.length, self.whole, self.index_of)


#: Of a value whose length nothing is known of.
UNMEASURED: Final = Extent()


def longer(one: Length | None, other: Length | None, by_role: bool) -> Length | None:
    """The join of two lengths: "mixed" if ranks choose by their role between a grown list and a buffer for it."""
    if one is None or other is None:
        known = one or other
        return known if known is not None and known.kind == "grown" and not by_role else None
    if one.kind == other.kind:
        return one
    grown = one if one.kind == "grown" else other
    return Length("mixed", grown.cause) if by_role else None
