"""What an answer depends on: the files read while it was computed, separate from those read before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


class Reader(Protocol):
    """Records the files that are read, as a bit set."""

    looked: int


class Separately:
    """A context that records only the files read inside, as `looked`; on exit the earlier record is restored.

    The caller adds `looked` to the reader if its own answer depends on those files as well.
    """

    __slots__ = ("_before", "_is_open", "_looked", "_reader")

    def __init__(self, reader: Reader) -> None:
        """Nothing has been read yet."""
        self._reader = reader
        self._looked = self._before = 0
        self._is_open = False

    def __enter__(self) -> Separately:  # noqa: PYI034  # typing has no Self before Python 3.11
        """Set aside the files recorded before."""
        self._before, self._reader.looked = self._reader.looked, 0
        self._is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        """Keep the files read inside, and restore the earlier ones."""
        self._looked, self._reader.looked = self._reader.looked, self._before
        self._is_open = False

    @property
    def looked(self) -> int:
        """The files that have been read inside so far."""
        return self._reader.looked if self._is_open else self._looked


class Memo(Generic[_Key, _Answer]):
    """A cache of answers, each with the files read to compute it; whatever uses an answer depends on them too."""

    def __init__(self, reader: Reader) -> None:
        """Nothing is known yet."""
        self._reader = reader
        self._known: dict[_Key, tuple[_Answer, int]] = {}

    def get(self, key: _Key, find: Callable[[], _Answer]) -> _Answer:
        """The answer for a key, computed by `find` if it is not known."""
        known = self._known.get(key)
        if known is None:
            with Separately(self._reader) as read:
                found = find()
            known = self._known[key] = (found, read.looked)
        self._reader.looked |= known[1]
        return known[0]

    def forget(self, files: int) -> None:
        """Forget the answers that depend on some files, given as a bit set."""
        self._known = {key: known for key, known in self._known.items() if not known[1] & files}


def files_of(looked: int, bits: Mapping[str, int]) -> list[str]:
    """The files in a bit set such as `Program.looked`."""
    size = len(bits)
    every = looked | looked >> size | looked >> 2 * size
    return [path for path, bit in bits.items() if every & bit]
