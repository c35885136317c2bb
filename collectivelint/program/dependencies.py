"""What an answer rests on: the files that were read while it was computed, apart from those that were read before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_Key = TypeVar("_Key")
_Answer = TypeVar("_Answer")


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


class Memo(Generic[_Key, _Answer]):
    """Answers that are kept, each with the files that were read to give it: who asks again rests on these as well."""

    def __init__(self, reader: Reader) -> None:
        """Nothing is known yet."""
        self._reader = reader
        self._known: dict[_Key, tuple[_Answer, int]] = {}

    def get(self, key: _Key, find: Callable[[], _Answer]) -> _Answer:
        """The answer of this key."""
        known = self._known.get(key)
        if known is None:
            with Separately(self._reader) as read:
                found = find()
            known = self._known[key] = (found, read.looked)
        self._reader.looked |= known[1]
        return known[0]

    def forget(self, files: int) -> None:
        """Forget the answers that rest on some files, as bits."""
        self._known = {key: known for key, known in self._known.items() if not known[1] & files}


def files_of(looked: int, bits: Mapping[str, int]) -> list[str]:
    """The files that something has been looked at in, by the bits of `Program.looked`."""
    size = len(bits)
    every = looked | looked >> size | looked >> 2 * size
    return [path for path, bit in bits.items() if every & bit]
