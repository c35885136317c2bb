"""Where the data of a value come from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record
from .causes import Agreed, Cause, Sharded, merged
from .records import KEEP, Keep
from .wrapped import Wrapped, either

if TYPE_CHECKING:
    from .symbol import Symbol

_NONE: Final[frozenset[str]] = frozenset()


class Origin(Record):
    """The sources of the data in a value."""

    __slots__ = (
        "agreed",
        "averaged",
        "elements",
        "origins",
        "own",
        "passed",
        "ranked",
        "sharded",
        "shared",
        "stamps",
        "summed",
    )

    def __init__(
        self,
        origins: tuple[Cause, ...] = (),
        shared: bool = False,
        sharded: Sharded | None = None,
        ranked: bool = False,
        elements: frozenset[str] = _NONE,
        own: Cause | None = None,
        passed: Wrapped | None = None,
        stamps: tuple[Cause, ...] = (),
        summed: Symbol | None = None,
        averaged: Symbol | None = None,
        agreed: Agreed | None = None,
    ):
        """Parameters left out are unknown."""
        #: Where data of other ranks ("received") or of a checkpoint ("restored") came into it.
        self.origins: Final = origins
        #: Filled by a collective that leaves the same data on all ranks.
        self.shared: Final = shared
        #: Each rank has another part of it.
        self.sharded: Final = sharded
        #: A rank is written into it, which makes another text of it.
        self.ranked: Final = ranked
        #: The loops over a container in no fixed order whose element has gone into it, by their place.
        self.elements: Final = elements
        #: Where this rank's own data, a batch or what a model is given, have gone into it.
        self.own: Final = own
        #: The wrapped model whose forward pass it comes out of.
        self.passed: Final = passed
        #: The readings of this rank's clock, or its random numbers, that have gone into it as text.
        self.stamps: Final = stamps
        #: The group that it is the sum over, and the one by whose size it has been divided.
        self.summed: Final = summed
        self.averaged: Final = averaged
        #: The optional group without which ranks do not agree on a number that has gone into it.
        self.agreed: Final = agreed

    def but(
        self,
        origins: tuple[Cause, ...] | Keep = KEEP,
        shared: bool | Keep = KEEP,
        sharded: Sharded | Keep | None = KEEP,
        ranked: bool | Keep = KEEP,
        elements: frozenset[str] | Keep = KEEP,
        own: Cause | Keep | None = KEEP,
        passed: Wrapped | Keep | None = KEEP,
        stamps: tuple[Cause, ...] | Keep = KEEP,
        summed: Symbol | Keep | None = KEEP,
        averaged: Symbol | Keep | None = KEEP,
        agreed: Agreed | Keep | None = KEEP,
    ) -> Origin:
        """A copy with other values for these fields; `MADE_HERE` where nothing is left to say."""
        found = Origin(
            self.origins if isinstance(origins, Keep) else origins,
            self.shared if isinstance(shared, Keep) else shared,
            self.sharded if isinstance(sharded, Keep) else sharded,
            self.ranked if isinstance(ranked, Keep) else ranked,
            self.elements if isinstance(elements, Keep) else elements,
            self.own if isinstance(own, Keep) else own,
            self.passed if isinstance(passed, Keep) else passed,
            self.stamps if isinstance(stamps, Keep) else stamps,
            self.summed if isinstance(summed, Keep) else summed,
            self.averaged if isinstance(averaged, Keep) else averaged,
            self.agreed if isinstance(agreed, Keep) else agreed,
        )
        says_nothing = (
            not found.origins
            and found.own is None
            and not found.ranked
            and not found.shared
            and found.sharded is None
            and not found.elements
            and found.passed is None
            and not found.stamps
            and found.summed is None
            and found.averaged is None
            and found.agreed is None
        )
        return MADE_HERE if says_nothing else found

    def join(self, other: Origin) -> Origin:
        """The join of two alternatives: data of both, the properties that both have.

        Commutative, associative and idempotent except for the order of the causes, of which the first ones are kept, of
        own data and of agreements.
        """
        if self is other or self == other:
            return self
        return Origin(
            merged(self.origins, other.origins),
            self.shared and other.shared,
            self.sharded and other.sharded,
            self.ranked or other.ranked,
            self.elements | other.elements,
            None if self._settles(other) or other._settles(self) else self.own or other.own,
            either(self.passed, other.passed),
            merged(self.stamps, other.stamps),
            self.summed if self.summed is other.summed else None,
            self.averaged if self.averaged is other.averaged else None,
            self.agreed or other.agreed,
        )

    def _settles(self, other: Origin) -> bool:
        """Whether the ranks have shared this value, and `other` is what a rank keeps when there are no other ranks."""
        is_received = any(cause.kind == "received" for cause in self.origins)
        return is_received and self.own is None and other.own is not None

    def _fields(self) -> tuple[object, ...]:
        same = (self.origins, self.shared, self.sharded, self.ranked, self.elements, self.own, self.passed)
        return (*same, self.stamps, self.summed, self.averaged, self.agreed)


#: Of a value that was made here.
MADE_HERE: Final = Origin()
