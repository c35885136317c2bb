"""Writing a file at once: a reader finds the old content or the new one, and no temporary file stays behind."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def write(path: Path, content: str | bytes, *, follow: bool = True, durable: bool = True) -> None:
    """Replace the content of `path`; text is written as UTF-8, line endings untouched. Raise OSError if that fails.

    The mode of an existing file is kept. `follow`: the user named the path, so a symbolic link leads to the file that is
    meant, and a device or pipe is written to. Without it the path is a name of ours in a folder that others may write to:
    whatever bears that name is replaced and never written through. A link to a missing file is never followed.
    Without `durable` nothing waits for the disk: a message between processes need not outlive the machine.
    """
    data = content.encode() if isinstance(content, str) else content
    target = Path(os.path.realpath(path)) if follow else path
    mode = _mode(target)
    if follow and mode is None and path.is_symlink():
        raise FileNotFoundError(2, "is a symbolic link to a file that does not exist", str(path))
    if mode is not None and stat.S_ISDIR(mode):
        raise IsADirectoryError(21, "is a folder", str(path))
    if follow and mode is not None and not stat.S_ISREG(mode):
        with target.open("wb") as stream:  # a device such as /dev/stdout
            stream.write(data)
        return
    kept = stat.S_IMODE(mode) if mode is not None and stat.S_ISREG(mode) else None
    # In the same folder, so that the rename cannot cross file systems.
    temporary = target.with_name(f".{target.name}.{os.urandom(4).hex()}.tmp")
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


def _mode(path: Path) -> int | None:
    """The type and permissions of what bears this name, a link not followed; None if nothing does."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return None
