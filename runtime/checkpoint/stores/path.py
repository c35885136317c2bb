"""Store addresses as paths: `s3://bucket/run/step_1000` works like a local folder. fsspec is imported on first use."""

from __future__ import annotations

import errno
import os
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PosixPath
from typing import TYPE_CHECKING, Any, Final, TypeVar

from .objects import StoreFile, opened
from .store import Info, Store, store_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

_T = TypeVar("_T")
_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
#: Files that are opened at a time.
_AT_ONCE: Final = 8
#: Files whose ends are read when the first of them is opened.
_SIBLINGS: Final = 128


class StorePath(PosixPath):
    """A path whose first part is a protocol. Read-only except for `create`; all methods raise OSError."""

    __slots__ = ()

    def __str__(self) -> str:
        """The address."""
        if len(self.parts) == 1 and self.parts[0].endswith(":"):
            return f"{self.parts[0]}//"
        head, colon, rest = super().__str__().partition(":/")
        return f"{head}://{rest.lstrip('/')}" if colon and "/" not in head else head + colon + rest

    @property
    def store(self) -> Store:
        """The store that the path is in."""
        return store_of("//".join((*self.parts[:2], "")[:2]))

    @property
    def info(self) -> Any:
        """The entry of the store for it."""
        return self.store.info(str(self))

    def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
        """Size, time and kind; 0 for what a store does not have."""
        del follow_symlinks
        found: Info = self.info
        mode = stat.S_IFDIR | 0o555 if found.is_folder else stat.S_IFREG | 0o444
        time = int(found.written)
        return os.stat_result((mode, 0, 0, 1, 0, 0, found.size, time, time, time))

    lstat = stat

    def exists(self, *, follow_symlinks: bool = True) -> bool:
        """Whether something is there; raises OSError where the store does not answer."""
        del follow_symlinks
        try:
            return bool(self.info)
        except FileNotFoundError:
            return False

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a folder."""
        del follow_symlinks
        return self.exists() and self.info.is_folder

    def is_file(self, *, follow_symlinks: bool = True) -> bool:
        """Whether it is a file."""
        del follow_symlinks
        return self.exists() and not self.info.is_folder

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def iterdir(self) -> Generator[StorePath, None, None]:
        """What is in the folder."""
        yield from [self / name for name in self.store.list(str(self)) if name]

    def unreachable(self) -> list[str]:
        """Names of objects in the listed folder that no path can express."""
        return self.store.unreachable.get(str(self), [])

    def source(self, name: str) -> StoreFile:
        """The bytes of the file by position; `name` is what messages call it."""
        found: Info = self.info
        if found.is_folder:
            raise IsADirectoryError(errno.EISDIR, "is a folder", str(self))
        return StoreFile(self.store, str(self), name, found.size)

    def open(self, mode: str = "r", *_: Any, **__: Any) -> Any:
        """A binary stream for reading. Raises OSError for every mode other than "rb"."""
        if mode != "rb":
            raise OSError(errno.EROFS, "a store is only read from", str(self))
        return opened(self.source(self.name), [path.source(path.name) for path in self._siblings()])

    def _siblings(self) -> list[StorePath]:
        """The files that follow in its folder, if that was listed."""
        listed = self.store.listed(str(self.parent))
        names = sorted(name for name, info in listed.items() if not info.is_folder and name > self.name)
        return [self.parent / name for name in names[:_SIBLINGS]]

    def read_bytes(self) -> bytes:
        """All of it."""
        source = self.source(self.name)
        return source.read(0, source.size)

    def read_text(self, encoding: str | None = None, errors: str | None = None, newline: str | None = None) -> str:
        """All of it as text."""
        del newline
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def create(self, data: bytes) -> None:
        """Write a file that is not there yet; raises FileExistsError."""
        self.store.create(str(self), data)


def path_of(text: str) -> Path:
    """The path for a user's argument: an address of a store, or a path on this machine."""
    if not _ADDRESS.match(text):
        return Path(text)
    protocol, _, rest = text.partition("://")
    return Path(f"/{rest.lstrip('/')}") if protocol in ("file", "local") else StorePath(f"{protocol}:/{rest}")


def each(folder: Path, function: Callable[[str], _T], names: Iterable[str]) -> Iterator[_T]:
    """Apply the function to each name, in order; for a store several at a time."""
    if not isinstance(folder, StorePath):
        yield from map(function, names)
        return
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(function, names)


def changed(folder: Path, files: Iterable[str]) -> list[str]:
    """The files of a folder in a store that have changed since it was listed."""
    if not isinstance(folder, StorePath):
        return []
    now: dict[str, Mapping[str, Info]] = {}
    found = []
    for name in files:
        path = folder / name
        parent = str(path.parent)
        before = path.store.listed(parent)
        if before and parent not in now:
            now[parent] = path.store.list(parent, again=True)
        if before and before.get(path.name) != now[parent].get(path.name):
            found.append(name)
    return found
