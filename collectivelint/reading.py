"""Reads untrusted files: only regular ones, at most a limit of bytes, and never blocking."""

from __future__ import annotations

import os
import stat
from errno import EFBIG, EINVAL, EISDIR
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_MB: Final = 1_000_000
#: The largest source that is read. Measured with Python 3.11: 10 MB of nested lists take `ast` 2.2 GB of memory, 2 MB take
#: libcst as much; the largest file of the standard library has 0.5 MB.
LARGEST: Final = 5 * _MB
#: Notebooks carry pictures of what their cells have put out; their code is a small part.
LARGEST_NOTEBOOK: Final = 100 * _MB
#: How the name of a notebook ends.
NOTEBOOK: Final = ".ipynb"
_KINDS: Final = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a symbolic link"),
)
#: Without O_NONBLOCK opening a pipe waits for a writer. Windows has neither that nor O_NOCTTY.
_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


def is_notebook(name: str) -> bool:
    """Whether the name of a file says that it is a notebook."""
    return name.lower().endswith(NOTEBOOK)


def limit_of(path: Path | str) -> int:
    """The maximum number of bytes read from a file of this name."""
    return LARGEST_NOTEBOOK if is_notebook(str(path)) else LARGEST


def opened(path: Path | str, *, follow: bool = True) -> int:
    """A file descriptor of a regular file, opened for reading; raise OSError with the reason for anything else.

    Without `follow` the path is one of collectivelint's own in a folder that others may write to: a symbolic link is
    rejected.
    """
    # Before opening, because opening alone can do something to a device or to the writer of a pipe; and what was opened
    # afterwards, because the name may mean another file by then.
    _regular(os.stat(path, follow_symlinks=follow), path)  # noqa: PTH116  # thousands of files: a Path for each takes longer than the call
    handle = os.open(path, _FLAGS if follow else _FLAGS | getattr(os, "O_NOFOLLOW", 0))
    try:
        _regular(os.fstat(handle), path)
    except BaseException:
        os.close(handle)
        raise
    return handle


def read_bytes(path: Path | str, limit: int | None = None, *, follow: bool = True) -> bytes:
    """The content of a regular file; raise OSError with the reason for anything else, or for more than `limit` bytes.

    The default limit depends on the name (`limit_of`). `follow` as for `opened`.
    """
    limit = limit_of(path) if limit is None else limit
    handle = opened(path, follow=follow)
    try:
        size = os.fstat(handle).st_size
        if size > limit:
            raise _too_large(path, size, limit)
        # More than the size, for files that grow and for those of /proc, which say that they are empty.
        data = bytearray()
        while len(data) <= limit and (piece := os.read(handle, max(size, 65_536) + 1)):
            data += piece
    finally:
        os.close(handle)
    if len(data) > limit:
        raise _too_large(path, len(data), limit)
    return bytes(data)


def read_text(path: Path | str, limit: int | None = None, *, errors: str = "strict") -> str:
    """The content of a regular file of UTF-8 with `\\n` at its line ends; raise OSError or UnicodeDecodeError."""
    return read_bytes(path, limit).decode(errors=errors).replace("\r\n", "\n").replace("\r", "\n")


def _regular(found: os.stat_result, path: Path | str) -> int:
    """The size of a regular file; raise OSError for another kind."""
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
    kind = next((name for is_kind, name in _KINDS if is_kind(found.st_mode)), "no file")
    raise OSError(EINVAL, f"is {kind}, not a regular file", str(path))


def _too_large(path: Path | str, size: int, limit: int) -> OSError:
    shown = f"{size / _MB:.1f} MB" if size < 1000 * _MB else f"{size / 1000 / _MB:.1f} GB"
    return OSError(EFBIG, f"has {shown}; files of more than {limit // _MB} MB are not read", str(path))
