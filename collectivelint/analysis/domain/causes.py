"""Causes: where what is known of a value comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

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
    "exception",
    "declared",
]


#: What a rank sees of its own surroundings, with how a report says it.
LOCAL: Final[Mapping[Kind, str]] = {
    "file system": "the state of the file system, as this rank sees it",
    "clock": "the clock, differs between ranks",
    "random": "a random number, differs between ranks",
    "process": "a property of this process or host",
    "queue": "how full a queue of this rank is",
    "poll": "a poll of work in the background, differs between ranks",
    "signal": "set by a signal handler, on the ranks that get the signal",
    "data": "the size of this rank's data",
    "exception": "an exception that may happen on one rank only",
    "declared": "declared to differ between ranks",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Where a property of a value comes from.

    "rank": a rank was asked for; "branch": assigned under a condition that differs between ranks; "received": data of
    other ranks; "restored": data read from a checkpoint; the others are `LOCAL`.
    """

    kind: Kind
    path: str
    span: Span


@dataclass(frozen=True, slots=True)
class Length:
    """Where a length, or a number, comes from.

    A list has "grown" to it, a buffer was "made" that long, or one or the other ("mixed"); it is one rank's "share" of a
    whole, or the "highest" of the numbers that were found.
    """

    kind: Literal["grown", "made", "mixed", "share", "highest"]
    cause: Cause


@dataclass(frozen=True, slots=True)
class Sharded:
    """Each rank has another part, under the same name: by "hand", by a "framework" that knows, or as its "own" state."""

    kind: Literal["hand", "framework", "own"]
    cause: Cause


def merged(one: tuple[Cause, ...], other: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """The causes of both, each once, as many as are kept."""
    return one if not other else tuple(dict.fromkeys((*one, *other)))[:_MOST_CAUSES]
