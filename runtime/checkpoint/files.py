"""An open checkpoint: its files, each opened once, and where the values of its chunks lie in them."""

from __future__ import annotations

from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, TypeAlias

from .model import CheckpointError
from .sources import BLOCK, open_local
from .stores.objects import StoreFile, warm
from .stores.path import StorePath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from .model import Checkpoint, Piece, Values
    from .sources import Source

__all__ = ["BLOCK", "Files", "Key", "Progress", "Side", "no_progress", "open_source"]

#: Name of a tensor, and which of its chunks.
Key: TypeAlias = "tuple[str, int]"
#: Told how many bytes, or chunks, have been done.
Progress: TypeAlias = "Callable[[int], object]"


class Files:
    """The files of a checkpoint, each opened once; reading is by position, from any thread."""

    def __init__(self, folder: Path) -> None:
        """Nothing is opened yet."""
        self._folder = folder
        self._open: dict[str, Source] = {}
        self._lock = Lock()

    @property
    def folder(self) -> Path:
        """The folder that file names are relative to."""
        return self._folder

    def close(self) -> None:
        """Close all."""
        for source in self._open.values():
            source.close()
        self._open.clear()

    def open(self, name: str) -> Source:
        """A file; raises CheckpointError if that is missing, or no regular file."""
        source = self._open.get(name)
        if source is None:
            with self._lock:
                source = self._open.get(name) or open_source(self._folder / name, name)
                self._open[name] = source
        return source

    def size(self, name: str) -> int:
        """Its size in bytes."""
        return self.open(name).size

    def blocks(self, piece: Piece, buffer: bytearray | None = None) -> Iterator[memoryview]:
        """The bytes of a piece, block by block; each is valid until the next. They may be in `buffer`."""
        return self.open(piece.file).blocks(piece.offset, piece.length, buffer)

    def read(self, piece: Piece) -> bytes:
        """All bytes of a piece."""
        return b"".join(map(bytes, self.blocks(piece)))

    def warm(self, pieces: Iterable[Piece]) -> None:
        """Announce small reads to come: a store answers all of them at once. The last 8 MB are kept."""
        if not isinstance(self._folder, StorePath):
            return
        ranges: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
        for piece in pieces:
            ranges[piece.file].append((piece.offset, piece.length))
        sources = []
        for name, some in ranges.items():
            with suppress(CheckpointError):
                source = self.open(name)
                sources += [(source, some)] if isinstance(source, StoreFile) else []
        warm(sources)


def open_source(file: Path, name: str) -> Source:
    """A file here or in a store; raises CheckpointError if it cannot be opened. `name` is what messages call it."""
    if not isinstance(file, StorePath):
        return open_local(file, name)
    try:
        return file.source(name)
    except OSError as error:
        raise CheckpointError(f"{name}: {error.strerror}") from None


def no_progress(_: int) -> None:
    """A progress callback that does nothing."""


@dataclass(frozen=True, slots=True)
class Side:
    """An open checkpoint: its description, its files, and where its values lie. `beside` are its other parts."""

    checkpoint: Checkpoint
    files: Files
    values: Mapping[Key, Values]
    beside: tuple[Side, ...] = ()

    @property
    def parts(self) -> tuple[Side, ...]:
        """All parts of the checkpoint, the weights first."""
        return (self, *self.beside)
