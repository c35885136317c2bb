"""A cache of pages of files in a store, least recently used first out, so that headers cost few requests."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: Bytes of a page: the end of one chunk of a DCP file and the beginning of the next are in one, or in two that are read at once.
PAGE: Final = 1 << 13
#: Pages that are kept, 8 MB: those of both ends of as many chunks as are read at once, and of files that are opened.
MOST: Final = 1024
#: So many pages that nothing needs are read rather than asking twice.
_GAP: Final = 6
#: Pages of one request.
_LONGEST: Final = 128

Page: TypeAlias = "tuple[str, int]"


class Pages:
    """The pages of files, by path and number. A page is shorter than the others where its file ends."""

    def __init__(self) -> None:
        """None is kept yet."""
        self._kept: OrderedDict[Page, bytes] = OrderedDict()
        self._lock = Lock()

    def get(self, path: str, number: int) -> bytes | None:
        """A page, if it is kept."""
        with self._lock:
            page = self._kept.get((path, number))
            if page is not None:
                self._kept.move_to_end((path, number))
            return page

    def put(self, path: str, first: int, data: bytes) -> None:
        """Keep the pages of bytes that begin with page `first`."""
        with self._lock:
            for begin in range(0, len(data), PAGE):
                self._kept[(path, first + begin // PAGE)] = data[begin : begin + PAGE]
            while len(self._kept) > MOST:
                self._kept.popitem(last=False)

    def missing(self, path: str, ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """The runs of pages (begin, end) that have to be read for these ranges of (offset, length)."""
        with self._lock:
            wanted = sorted(
                {
                    number
                    for offset, length in ranges
                    for number in range(offset // PAGE, -(-(offset + length) // PAGE))
                    if (path, number) not in self._kept
                }
            )
        first = last = -1
        for number in wanted:
            if first >= 0 and number - last <= _GAP and number - first < _LONGEST:
                last = number
                continue
            if first >= 0:
                yield first, last + 1
            first = last = number
        if first >= 0:
            yield first, last + 1
