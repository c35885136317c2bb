"""Causes: the program points that a property of a value comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Span


_MOST_CAUSES: Final = 3


Kind: TypeAlias = Literal[
    "rank",
    "branch",
    "received",
    "restored",
    "file system",
    "clock",
    "random",
    "process",
    "queue",
    "poll",
    "signal",
    "data",
    "own data",
    "own inputs",
    "gradient",
    "loader",
    "share",
    "stream",
    "override",
    "recorded",
    "requests",
    "no agreement",
    "exception",
    "any exception",
    "declared",
]


#: What a rank sees of its own surroundings, with how a report says it.
LOCAL: Final[Mapping[Kind, str]] = {
    "file system": "the file system, which can look different on each rank",
    "clock": "the clock, which each rank reads for itself",
    "random": "a random number, which each rank draws for itself",
    "process": "a property of this process or host",
    "queue": "the length of a queue on this rank",
    "poll": "whether background work on this rank has finished",
    "signal": "a flag that a signal handler sets on the ranks that get the signal",
    "data": "the size of this rank's data",
    "own data": "the values in this rank's data",
    "own inputs": "the inputs that this rank's data has",
    "gradient": "the parameters that have a gradient on this rank",
    "loader": "the number of batches in this rank's loader",
    "share": "the share of the items that this rank takes",
    "stream": "the number of items that this rank's data stream gives",
    "override": "the class of the object, which may be one of several",
    "recorded": "the names that this rank has recorded",
    "requests": "the requests that this rank was granted",
    "no agreement": "a number that each rank computes alone, since the call passes no group on which the ranks could agree",
    "exception": "an exception that may happen on one rank only",
    "any exception": "any exception, which may happen on one rank only",
    "declared": "a value declared to differ between ranks",
}


class Cause(Record):
    """Where a property of a value comes from.

    "rank": a rank was asked for; "branch": assigned under a condition that differs between ranks; "received": data of
    other ranks; "restored": data read from a checkpoint; the others are `LOCAL`.
    """

    __slots__ = ("kind", "path", "span")

    def __init__(self, kind: Kind, path: str, span: Span) -> None:
        self.kind: Final = kind
        self.path: Final = path
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.path, self.span)

    def of(self, kind: Kind) -> Cause:
        """The same place, as a cause of another kind."""
        return Cause(kind, self.path, self.span)


class Length(Record):
    """The origin of a length, or of a number.

    A list has "grown" to it, a buffer was "made" that long, or one or the other ("mixed"); it is one rank's "share" of
    a whole, or the "highest" of the numbers that were found.
    """

    __slots__ = ("cause", "kind")

    def __init__(self, kind: Literal["grown", "made", "mixed", "share", "highest"], cause: Cause) -> None:
        self.kind: Final = kind
        self.cause: Final = cause

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.cause)


class Sharded(Record):
    """Each rank has another part, under the same name: by "hand", by a "framework" that knows, or as its "own" state."""

    __slots__ = ("cause", "kind")

    def __init__(self, kind: Literal["hand", "framework", "own"], cause: Cause) -> None:
        self.kind: Final = kind
        self.cause: Final = cause

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.cause)


class Agreed(Record):
    """A number on which ranks agree in a collective at `cause`, but only if the parameter, a group, is not None."""

    __slots__ = ("cause", "parameter")

    def __init__(self, parameter: str, cause: Cause) -> None:
        self.parameter: Final = parameter
        self.cause: Final = cause

    def _fields(self) -> tuple[object, ...]:
        return (self.parameter, self.cause)


def merged(one: tuple[Cause, ...], other: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """The union of both causes without duplicates, up to `_MOST_CAUSES`."""
    return one if not other else tuple(dict.fromkeys((*one, *other)))[:_MOST_CAUSES]
