"""Where the data of a value come from."""

from __future__ import annotations

from typing import Final

from ...record import Record
from .causes import Cause, Sharded, merged
from .records import KEEP, Keep
from .wrapped import Wrapped, either

_NONE: Final[frozenset[str]] = frozenset()


class Origin(Record):
    """What has filled a value with data."""

    __slots__ = ("elements", "origins", "own", "passed", "ranked", "sharded", "shared", "stamps")

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
    ):
        """Nothing is known of what is left out."""
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
    ) -> Origin:
        """A copy with other values for these fields."""
        return Origin(
            self.origins if isinstance(origins, Keep) else origins,
            self.shared if isinstance(shared, Keep) else shared,
            self.sharded if isinstance(sharded, Keep) else sharded,
            self.ranked if isinstance(ranked, Keep) else ranked,
            self.elements if isinstance(elements, Keep) else elements,
            self.own if isinstance(own, Keep) else own,
            self.passed if isinstance(passed, Keep) else passed,
            self.stamps if isinstance(stamps, Keep) else stamps,
        )

    def join(self, other: Origin) -> Origin:
        """Of a value that is one or the other: data of both, the properties that both have.

        Commutative, associative and idempotent but for the order of the causes, of which the first ones are kept,
        and of own data.
        """
        if self is other or self == other:
            return self
        return Origin(
            merged(self.origins, other.origins),
            self.shared and other.shared,
            self.sharded and other.sharded,
            self.ranked or other.ranked,
            self.elements | other.elements,
            self.own or other.own,
            either(self.passed, other.passed),
            merged(self.stamps, other.stamps),
        )

    def _fields(self) -> tuple[object, ...]:
        return (
            self.origins,
            self.shared,
            self.sharded,
            self.ranked,
            self.elements,
            self.own,
            self.passed,
            self.stamps,
        )


#: Of a value that was made here.
MADE_HERE: Final = Origin()
