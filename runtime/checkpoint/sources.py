"""A file of a checkpoint that is open: its bytes by position, from any thread."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final, Protocol

from .model import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BLOCK: Final = 1 << 20
_AHEAD: Final = 16 * BLOCK


class Source(Protocol):
    """A readable file, local or an object of a store. Sizes and offsets are in bytes."""

    size: int

    def read(self, offset: int, length: int) -> bytes:
        """All of these bytes; raises CheckpointError if the file ends before, or cannot be read there."""

    def blocks(self, offset: int, length: int, buffer: bytearray | None = None) -> Iterator[memoryview]:
        """These bytes in order, a block at a time; a block is valid until the next one. Raises CheckpointError."""

    def warm(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Announce (offset, length) of small reads to come: a store answers all of them at once."""

    def close(self) -> None:
        """Close it."""


class LocalFile:
    """A file that is open by a descriptor, which the caller closes, or `close` does."""

    def __init__(self, fd: int, name: str, size: int = 0) -> None:
        """`name` is what messages call it."""
        self._fd, self._name, self.size = fd, name, size

    def read(self, offset: int, length: int) -> bytes:
        """See Source."""
        parts = []
        while length:
            try:
                part = os.pread(self._fd, length, offset)
            except OSError as error:
                raise CheckpointError(f"{self._name}: {error.strerror} at byte {offset}") from None
            if not part:
                raise CheckpointError(f"{self._name}: ends at byte {offset}, {length} bytes short")
            parts.append(part)
            offset += len(part)
            length -= len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def blocks(self, offset: int, length: int, buffer: bytearray | None = None) -> Iterator[memoryview]:
        """See Source. All blocks are in the same buffer."""
        buffer = buffer if buffer is not None else bytearray(min(BLOCK, max(1, length)))
        view = memoryview(buffer)
        position, end = offset, offset + length
        ahead = position + len(buffer)
        while position < end:
            try:
                if ahead < min(end, position + _AHEAD) and hasattr(os, "posix_fadvise"):
                    # The system reads on while we digest. Asking costs, so it is not done for every block.
                    os.posix_fadvise(self._fd, ahead, min(_AHEAD, end - ahead), os.POSIX_FADV_WILLNEED)
                    ahead += _AHEAD
                got = os.preadv(self._fd, [view[: min(len(buffer), end - position)]], position)
            except OSError as error:
                raise CheckpointError(f"{self._name}: {error.strerror} at byte {position}") from None
            if not got:
                raise CheckpointError(f"{self._name}: ends at byte {position}, {end - position} bytes short")
            yield view[:got]
            position += got

    def warm(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Nothing: the system reads ahead on its own."""

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._fd)


def open_local(file: str | os.PathLike[str], name: str) -> LocalFile:
    """A regular file; raises CheckpointError if it is missing, or none. A pipe is not waited for."""
    try:
        fd = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        raise CheckpointError(f"{name}: {error.strerror}") from None
    info = os.fstat(fd)
    if not stat.S_ISREG(info.st_mode):
        os.close(fd)
        raise CheckpointError(f"{name}: not a regular file")
    return LocalFile(fd, name, info.st_size)
