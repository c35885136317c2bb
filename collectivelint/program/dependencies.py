"""What an answer rests on: the files that were read while it was computed, apart from those that were read before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Reader(Protocol):
    """Notes the files that are read, as a sum of their bits."""

    looked: int


class Separately:
    """Inside, only what is read there is noted; `looked` are those files. Afterwards the reader has those of before.

    The caller adds them to these where its own answer rests on them as well.
    """

    __slots__ = ("_before", "_is_open", "_looked", "_reader")

    def __init__(self, reader: Reader) -> None:
        """Nothing has been read yet."""
        self._reader = reader
        self._looked = self._before = 0
        self._is_open = False

    def __enter__(self) -> Separately:  # noqa: PYI034  # typing has no Self before Python 3.11
        """Set aside what was read before."""
        self._before, self._reader.looked = self._reader.looked, 0
        self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what was read inside, and have that of before again."""
        self._looked, self._reader.looked = self._reader.looked, self._before
        self._is_open = False

    @property
    def looked(self) -> int:
        """The files that have been read inside so far."""
        return self._reader.looked if self._is_open else self._looked


def files_of(looked: int, bits: Mapping[str, int]) -> list[str]:
    """The files that something has been looked at in, by the bits of `Program.looked`."""
    size = len(bits)
    every = looked | looked >> size | looked >> 2 * size
    return [path for path, bit in bits.items() if every & bit]
