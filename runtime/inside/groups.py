"""The process groups of a process as its trace numbers them, and the call counters of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import weakref


class Stream:
    """Calls that are counted together: those of one kind on a group, or those to or from one peer.

    `hash` is a rolling hash of the part of each call that must be equal on all ranks. Two ranks with equal counts and
    different hashes disagree about at least one call.
    """

    __slots__ = ("count", "hash", "number")

    def __init__(self, number: int) -> None:
        """`number` is its index in the trace's table."""
        self.number, self.count, self.hash = number, 0, 0


Call: TypeAlias = "tuple[Stream, int, int, int]"


class Group:
    """A group's id in the trace file, its members as global ranks, and its streams by kind, or by operation and peer."""

    __slots__ = ("calls", "id", "ranks", "ref", "signatures", "streams", "threads")

    def __init__(self, number: int, ranks: tuple[int, ...]) -> None:
        """Nothing has been called on it yet."""
        self.id, self.ranks = number, ranks
        self.streams: dict[Any, Stream] = {}
        #: Those of the tracer that have been called on this group.
        self.signatures: dict[Any, tuple[int, int]] = {}
        #: By kind, peer in the group and key of a signature: where calls of that kind are counted, the signature's number, its weight
        #: in the hash of the stream, and the peer as a global rank.
        self.calls: dict[tuple[int, int, Any], Call] = {}
        #: Threads other than the main one that have called.
        self.threads: set[int] = set()
        self.ref: weakref.ref[Any] | None = None
