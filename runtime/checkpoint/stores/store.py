"""An fsspec store: cached listings, and ranges of bytes, read in parallel and retried on failure."""

from __future__ import annotations

import errno
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn

from .pages import Pages

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

#: Reads at a time. One answer takes some 30 ms to begin, so few of them leave the network idle.
CONNECTIONS: Final = 24
#: Seconds before a read is tried again; the store's own client has tried several times before it fails.
_WAITS: Final = (0.2, 1.0, 3.0)
#: Trying again changes nothing about these.
_FINAL: Final = (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError)
#: What clients call the time of the last change, and what tells one content from another.
_TIMES: Final = ("LastModified", "mtime", "last_modified", "updated", "modified", "created")
_VERSIONS: Final = ("ETag", "etag", "md5Hash", "content_md5", "checksum")
#: botocore keeps ten connections, whatever is asked of it at a time, and tries for ten seconds what s3fs tries again anyway.
_BOTOCORE: Final = {"max_pool_connections": CONNECTIONS, "retries": {"mode": "standard", "max_attempts": 2}}
_OPTIONS: Final[dict[str, dict[str, Any]]] = {"s3": {"config_kwargs": _BOTOCORE}}
#: After so many reads in a row that failed every time, the rest fails at once.
_LOST: Final = 3


@dataclass(frozen=True, slots=True)
class Info:
    """A file or folder of a store: bytes, modification time (seconds since the epoch), content version."""

    is_folder: bool
    size: int = 0
    written: float = 0.0
    version: str = ""


class Store:
    """One bucket, or whatever the first word of an address names. Paths are whole addresses; all methods raise OSError."""

    def __init__(self, address: str) -> None:
        """Connect with credentials and endpoint from the environment."""
        protocol = address.partition("://")[0]
        try:
            from fsspec.core import url_to_fs
        except ImportError:
            text = f"addresses such as {protocol}:// need fsspec: pip install 'collectivelint[stores]'"
            raise OSError(errno.ENOPKG, text, address) from None
        try:
            self._fs, _ = url_to_fs(address, **_OPTIONS.get(protocol, {}))
        except ImportError as error:
            # fsspec names the package.
            raise OSError(errno.ENOPKG, f"{error}".replace("Install ", "pip install ", 1), address) from None
        except Exception as error:
            _refuse(error, address)
        is_parallel = self._fs.async_impl or "memory" in self._fs.protocol
        self._pool = ThreadPoolExecutor(CONNECTIONS if is_parallel else 1, thread_name_prefix="store")
        self._listed: dict[str, dict[str, Info]] = {}
        self._infos: dict[str, Info] = {}
        #: By folder that was listed: names in it that no path leads to.
        self.unreachable: dict[str, list[str]] = {}
        self.pages = Pages()
        self._failed = 0
        # The client keeps listings of its own.
        self._fs.invalidate_cache()

    def close(self) -> None:
        """Stop the reader threads; reads that have not started are cancelled."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, function: Callable[..., bytes], *arguments: object) -> Future[bytes]:
        """Run the function in one of the reader threads."""
        return self._pool.submit(function, *arguments)

    def list(self, folder: str, *, again: bool = False) -> Mapping[str, Info]:
        """The content of a folder by name; cached, unless `again`."""
        if again or folder not in self._listed:
            path = self._fs._strip_protocol(folder)
            try:
                if again:
                    self._fs.invalidate_cache(path)
                entries = self._fs.ls(path, detail=True)
            except Exception as error:
                _refuse(error, folder)
            # Some stores list the folder itself, as an empty object.
            own = path.strip("/")
            found: dict[str, Info] = {}
            unreachable = []
            for entry in entries:
                whole = str(entry["name"]).strip("/")
                name, info = whole.rpartition("/")[2], _info(entry)
                if whole == own:
                    # Keys with two slashes in a row go on below a folder without a name.
                    unreachable += ["/"] if info.is_folder and str(entry["name"]).endswith("/") else []
                    continue
                if name in (".", ".."):
                    unreachable.append(name)
                elif name in found and info.is_folder != found[name].is_folder:
                    # A key of an object may go on below another one. The object is the file.
                    unreachable += [] if self._is_marker(whole) else [f"{name}/"]
                    found[name] = found[name] if info.is_folder else info
                else:
                    found[name] = info
            self.unreachable[folder] = unreachable
            if again:
                return found
            self._listed[folder] = found
        return self._listed[folder]

    def _is_marker(self, path: str) -> bool:
        """Whether everything below an object is an empty marker that some clients create for a folder."""
        try:
            below = self._fs.find(f"{path}/", detail=True)
        except Exception:
            return False
        return all(
            not info.get("size")
            for name, info in below.items()
            if str(name).strip("/") != path or str(name).endswith("/")
        )

    def listed(self, folder: str) -> Mapping[str, Info]:
        """The cached listing of a folder; {} if it was not listed."""
        return self._listed.get(folder, {})

    def info(self, path: str) -> Info:
        """The entry of a file or folder; without a request if its folder was listed."""
        folder, _, name = path.rpartition("/")
        if folder in self._listed:
            found = self._listed[folder].get(name)
            if found is None:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)
            return found
        if path in self._listed:
            return Info(is_folder=True)
        if path not in self._infos:
            try:
                self._infos[path] = _info(self._fs.info(self._fs._strip_protocol(path)))
            except Exception as error:
                _refuse(error, path)
        return self._infos[path]

    def read(self, path: str, begin: int, end: int) -> bytes:
        """The bytes of a range, fewer only where the file ends before; tried again where the connection or the store fails."""
        if self._failed >= _LOST:
            raise OSError(errno.EIO, "not read, since the store has stopped answering", path)
        stored = self._fs._strip_protocol(path)
        for wait in (*_WAITS, None):
            try:
                data: bytes = self._fs.cat_file(stored, start=begin, end=end)
            except _FINAL as error:
                _refuse(error, path)
            except Exception as error:
                if wait is None:
                    self._failed += 1
                    _refuse(error, path, f" (tried {len(_WAITS) + 1} times)")
                time.sleep(wait)
            else:
                if len(data) > end - begin:
                    raise OSError(errno.EIO, "the store does not answer requests for a range of bytes", path)
                self._failed = 0
                return data
        raise AssertionError

    def create(self, path: str, data: bytes) -> None:
        """Write a file that is not there yet; raises FileExistsError if it is, and changes nothing then."""
        try:
            self._fs.pipe_file(self._fs._strip_protocol(path), data, mode="create")
        except FileExistsError:
            raise FileExistsError(
                errno.EEXIST, "is there already, and nothing is overwritten in a store", path
            ) from None
        except Exception as error:
            _refuse(error, path)


_STORES: Final[dict[str, Store]] = {}


def store_of(address: str) -> Store:
    """The store of an address, one for all that lies in it, until `forget`."""
    if address not in _STORES:
        _STORES[address] = Store(address)
    return _STORES[address]


def forget() -> None:
    """Drop the cached listings of all stores: called before a checkpoint is read."""
    for store in _STORES.values():
        store.close()
    _STORES.clear()


def _info(entry: Mapping[str, Any]) -> Info:
    times = [entry[key] for key in _TIMES if entry.get(key)]
    version = next((str(entry[key]) for key in _VERSIONS if entry.get(key)), "")
    return Info(
        entry.get("type") == "directory",
        int(entry.get("size") or 0),
        _seconds(times[0]) if times else 0.0,
        version or str(times[0] if times else ""),
    )


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.replace("Z", "+00:00"))
        except ValueError:
            return 0.0
    if isinstance(value, datetime):
        return value.timestamp()
    return float(value) if isinstance(value, (int, float)) else 0.0


def _refuse(error: Exception, path: str, more: str = "") -> NoReturn:
    """Raise a client's exception as an OSError with one line of text."""
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    if isinstance(error, FileNotFoundError):
        # The text of some clients is the path.
        text = text if "bucket" in text.lower() else os.strerror(errno.ENOENT)
        raise FileNotFoundError(errno.ENOENT, text, path) from None
    if isinstance(error, PermissionError):
        raise PermissionError(errno.EACCES, f"{text} (are the credentials right?)", path) from None
    raise OSError(number, text + more, path) from None
