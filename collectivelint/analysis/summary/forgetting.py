"""The facts of an earlier run that depend on what has changed since."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from .fixpoint import Key


def resting(
    reads: Mapping[Key, set[Key]],
    looked: Mapping[Key, int],
    circles: Mapping[Key, tuple[Key, ...]],
    files: int,
    paths: Collection[str],
) -> set[Key]:
    """The facts that depend on some files, given as bits and by name: directly, or through other facts.

    `reads`, `looked` and `circles` are those of the solver. What one fact of a circle depends on, all of them depend
    on.
    """
    readers: dict[Key, list[Key]] = {}
    for reader, read in reads.items():
        for key in read:
            readers.setdefault(key, []).append(reader)
    # Of some facts others have read, but nothing is known: the signature of a function, or that there is none.
    pending = [key for key in readers if key[1] in paths]
    pending += [key for key, seen in looked.items() if seen & files]
    found = set(pending)
    while pending:
        key = pending.pop()
        for other in (*readers.get(key, ()), *circles.get(key, ())):
            if other not in found:
                found.add(other)
                pending.append(other)
    return found
