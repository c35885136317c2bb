"""Atomic file writes: a reader sees the old content or the new one, and no temporary file is left behind."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

#: Where the system has names for files that are open.
_STREAMS: Final = ("/dev/stdin", "/dev/stdout", "/dev/stderr")
_OPEN_FILES: Final = ("/dev/fd", "/proc/self/fd")


def write(path: Path, content: str | bytes, *, follow: bool = True, durable: bool = True) -> None:
    """Atomically replace the content of `path`; text is written as UTF-8, line endings unchanged. Raise OSError.

    The mode of an existing file is kept. `follow`: the user named the path, so a symbolic link is followed to its file,
    and a device or pipe is written to. Without it the path is one of collectivelint's own in a folder that others may
    write to: whatever has that name is replaced and never written through. A link to a missing file is never followed.
    Without `durable` there is no fsync: a message between processes need not survive a crash of the machine.
    """
    data = content.encode() if isinstance(content, str) else content
    if follow and _is_stream(path):
        with path.open("wb") as stream:
            stream.write(data)
        return
    target = Path(os.path.realpath(path)) if follow else path
    mode = _mode(target)
    if follow and mode is None and path.is_symlink():
        raise FileNotFoundError(2, "is a symbolic link to a file that does not exist", str(path))
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "is a folder", str(path))
    kept = stat.S_IMODE(mode) if mode is not None and stat.S_ISREG(mode) else None
    # In the same folder, so that the rename cannot cross file systems.
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
    try:
        _replace(target, temporary, data, kept, durable=durable)
    except OSError as error:
        # The temporary name says nothing to anybody, and a full disk gives none.
        raise OSError(error.errno, error.strerror, str(path)) from None


def _replace(target: Path, temporary: Path, data: bytes, kept: int | None, *, durable: bool) -> None:
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if kept is None else kept | stat.S_IWUSR)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(stream.fileno())
        if kept is not None:
            temporary.chmod(kept)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise


def _is_stream(path: Path) -> bool:
    """Whether it is a device, a pipe, or an open file by name such as /dev/stdout, none of which may be replaced."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    if stat.S_ISREG(mode):
        return os.path.dirname(os.path.abspath(path)) in _OPEN_FILES or os.path.abspath(path) in _STREAMS
    return not stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    """The type and permissions of the file at this path, without following a link; None if there is none."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None
