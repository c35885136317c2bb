"""Files of a store that are open: as sources, and as streams."""

from __future__ import annotations

import io
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..model import CheckpointError
from .pages import PAGE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from .store import Store

#: Bytes of a request for values. Each costs the client time of its own, and larger ones take memory, of which the client has 70 MB alone.
BLOCK: Final = 1 << 20
#: Requests for the same values at a time.
_AHEAD: Final = 4
#: Shorter reads go by pages.
SMALL: Final = 8 * PAGE


class StoreFile:
    """A file of a store as a Source. It holds no connection: each read is a separate request."""

    def __init__(self, store: Store, path: str, name: str, size: int) -> None:
        """`path` is its address, `name` what messages call it."""
        self._store, self._path, self._name, self.size = store, path, name, size

    def read(self, offset: int, length: int) -> bytes:
        """See Source."""
        if length > SMALL:
            return b"".join(map(bytes, self.blocks(offset, length)))
        self._within(offset, length)
        parts = []
        while length:
            number, start = divmod(offset, PAGE)
            page = self._store.pages.get(self._path, number)
            if page is None:
                warm([(self, [(offset, length)])])
                # Kept by now, unless others have read more than fits.
                page = self._store.pages.get(self._path, number) or self._fetch(number * PAGE, (number + 1) * PAGE)
            part = page[start : start + length]
            if not part:
                raise self._short(offset, length)
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def blocks(self, offset: int, length: int, buffer: bytearray | None = None) -> Iterator[memoryview]:
        """See Source. The next blocks are under way while one is used."""
        del buffer
        self._within(offset, length)
        if 0 < length <= SMALL:
            yield memoryview(self.read(offset, length))
            return
        begins = iter(range(offset, offset + length, BLOCK))
        end = offset + length
        coming = deque(
            (begin, self._store.submit(self._fetch, begin, min(begin + BLOCK, end))) for begin in islice(begins, _AHEAD)
        )
        try:
            while coming:
                begin, future = coming.popleft()
                data = future.result()
                following = next(begins, None)
                if following is not None:
                    coming.append((following, self._store.submit(self._fetch, following, min(following + BLOCK, end))))
                if len(data) < min(BLOCK, end - begin):
                    raise self._short(begin + len(data), end - begin - len(data))
                yield memoryview(data)
        finally:
            for _, future in coming:
                future.cancel()

    def warm(self, ranges: Iterable[tuple[int, int]]) -> None:
        """See Source."""
        warm([(self, ranges)])

    def close(self) -> None:
        """Nothing is open."""

    def requests(self, ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
        """The byte ranges (begin, end) to request so that these ranges are cached as pages."""
        inside = ((offset, length) for offset, length in ranges if 0 <= offset < self.size and length > 0)
        clipped = ((offset, min(length, self.size - offset)) for offset, length in inside)
        return [(first * PAGE, last * PAGE) for first, last in self._store.pages.missing(self._path, clipped)]

    def keep(self, begin: int, end: int) -> bytes:
        """Read whole pages and cache them."""
        data = self._fetch(begin, end)
        self._store.pages.put(self._path, begin // PAGE, data)
        return data

    @property
    def store(self) -> Store:
        """The store of the file."""
        return self._store

    def _fetch(self, begin: int, end: int) -> bytes:
        try:
            return self._store.read(self._path, begin, min(end, self.size))
        except OSError as error:
            raise CheckpointError(f"{self._name}: {error.strerror} at byte {begin}") from None

    def _within(self, offset: int, length: int) -> None:
        if offset + length > self.size:
            raise self._short(self.size, offset + length - self.size)

    def _short(self, position: int, length: int) -> CheckpointError:
        return CheckpointError(f"{self._name}: ends at byte {position}, {length} bytes short")


def warm(wanted: Iterable[tuple[StoreFile, Iterable[tuple[int, int]]]]) -> None:
    """Read ranges of several files as pages, in parallel. Errors are ignored: the later read reports them."""
    futures = [
        file.store.submit(file.keep, begin, end) for file, ranges in wanted for begin, end in file.requests(ranges)
    ]
    for future in futures:
        future.exception()


class Stream(io.RawIOBase):
    """A file of a store, read from its beginning or wherever `seek` leads."""

    def __init__(self, file: StoreFile) -> None:
        """At its beginning."""
        self._file, self._position = file, 0

    def readable(self) -> bool:
        """Always True."""
        return True

    def seekable(self) -> bool:
        """Always True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """See io.IOBase."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._file.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """See io.IOBase."""
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """See io.RawIOBase; raises OSError."""
        count = min(len(buffer), max(0, self._file.size - self._position))
        try:
            buffer[:count] = self._file.read(self._position, count)
        except CheckpointError as error:
            raise OSError(5, str(error)) from None
        self._position += count
        return count


def opened(file: StoreFile, siblings: Sequence[StoreFile]) -> io.BufferedReader:
    """A stream of a file. Both ends of it and its siblings are prefetched, since those are opened next."""
    warm((one, [(0, PAGE), (max(0, one.size - PAGE), PAGE)]) for one in (file, *siblings))
    return io.BufferedReader(Stream(file), PAGE)
