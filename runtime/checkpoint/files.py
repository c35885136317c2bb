"""A checkpoint that is open: its files, each opened once, and where the values of its chunks lie in them."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from .model import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .model import Checkpoint, Piece, Values

#: Name of a tensor, and which of its chunks.
Key: TypeAlias = "tuple[str, int]"
#: Told how many bytes, or chunks, have been done.
Progress: TypeAlias = "Callable[[int], object]"

BLOCK: Final = 1 << 20
_AHEAD: Final = 16 * BLOCK


class Files:
    """The files of a checkpoint, each opened once; reading is by position, from any thread."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Nothing is opened yet."""
        self._folder = checkpoint.folder
        self._open: dict[str, int] = {}
        self._sizes: dict[str, int] = {}

    def close(self) -> None:
        """Close all."""
        for fd in self._open.values():
            os.close(fd)
        self._open.clear()

    def open(self, name: str) -> int:
        """The descriptor of a file; raises CheckpointError if that is missing, or no regular file."""
        fd = self._open.get(name)
        if fd is None:
            try:
                fd = os.open(self._folder / name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
            except OSError as error:
                raise CheckpointError(f"{name}: {error.strerror}") from None
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                os.close(fd)
                raise CheckpointError(f"{name}: no regular file")
            self._open[name], self._sizes[name] = fd, info.st_size
        return fd

    def size(self, name: str) -> int:
        """Its size in bytes."""
        self.open(name)
        return self._sizes[name]

    def blocks(self, piece: Piece, buffer: bytearray | None = None) -> Iterator[memoryview]:
        """The bytes of a piece, block by block, all in the same buffer."""
        fd = self.open(piece.file)
        buffer = buffer if buffer is not None else bytearray(min(BLOCK, max(1, piece.length)))
        view = memoryview(buffer)
        position, end = piece.offset, piece.offset + piece.length
        ahead = position + len(buffer)
        while position < end:
            try:
                if ahead < min(end, position + _AHEAD) and hasattr(os, "posix_fadvise"):
                    # The system reads on while we digest. Asking costs, so it is not done for every block.
                    os.posix_fadvise(fd, ahead, min(_AHEAD, end - ahead), os.POSIX_FADV_WILLNEED)
                    ahead += _AHEAD
                got = os.preadv(fd, [view[: min(len(buffer), end - position)]], position)
            except OSError as error:
                raise CheckpointError(f"{piece.file}: {error.strerror} at byte {position}") from None
            if not got:
                raise CheckpointError(f"{piece.file}: ends at byte {position}, {end - position} bytes short")
            yield view[:got]
            position += got

    def read(self, piece: Piece) -> bytes:
        """All bytes of a piece."""
        return b"".join(map(bytes, self.blocks(piece)))


def no_progress(_: int) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, slots=True)
class Side:
    """A checkpoint that is open: what it says, its files, and where the values of its chunks lie. `beside` are its other parts."""

    checkpoint: Checkpoint
    files: Files
    values: Mapping[Key, Values]
    beside: tuple[Side, ...] = ()

    @property
    def parts(self) -> tuple[Side, ...]:
        """All parts of the checkpoint, the weights first."""
        return (self, *self.beside)
