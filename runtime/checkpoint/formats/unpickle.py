"""Reads pickles without executing anything in them.

Every name in a pickle is mapped to a stand-in that only stores what is passed to it (stand_ins.py, made.py). Calls of
names that are not on the allowlist (allowed.py) are reported; dangerous names are refused. The memory that a pickle may
use is limited, since a few bytes can request any amount.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Final, NoReturn

from ..model import CheckpointError
from .allowed import kind_of
from .made import Class, class_of
from .stand_ins import StorageKey, harmful, member

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .allowed import Call

#: Modules that are in a pickle to do harm: whoever finds one does not want to know what else is in there. Packages of the
#: standard library with all that is in them, modules by their whole names: `code.config` is somebody's own.
_HARMFUL_PACKAGES: Final = frozenset(
    {"os", "importlib", "multiprocessing", "asyncio", "ctypes", "idlelib", "turtledemo"}
)
_HARMFUL: Final = frozenset({
    "posix", "nt", "subprocess", "sys", "runpy", "shutil", "socket", "pty", "commands", "marshal", "code",
    "codeop", "pickle", "_pickle", "imp", "webbrowser", "timeit", "bdb", "pdb", "cProfile", "profile",
    # These do something when they are imported.
    "antigravity", "this",
})  # fmt: skip
IMPORTED: Final = "a reader would import and call"
_BUILTINS: Final = frozenset({"builtins", "__builtin__"})
_HARMFUL_BUILTINS: Final = frozenset({
    "eval", "exec", "compile", "__import__", "setattr", "delattr", "open", "input", "breakpoint", "globals",
    "locals", "vars", "apply", "execfile", "file", "memoryview", "exit", "quit", "help",
})  # fmt: skip


@dataclass(slots=True)
class Calls:
    """Names outside the allowlist that an unpickler would import and call.

    `unclear` ones are called as members of enumerations are.
    """

    unsafe: list[str] = field(default_factory=list)
    unclear: list[str] = field(default_factory=list)

    @property
    def refused(self) -> list[str]:
        """A message for each unsafe name."""
        return [f"{IMPORTED} `{path:.80}`, which is not on the list; nothing of it was run" for path in self.unsafe]

    @property
    def doubtful(self) -> list[str]:
        """A message for each unclear name, which is not read."""
        return [f"{IMPORTED} `{path:.80}`, an enumeration perhaps" for path in self.unclear]


class _Unpickler(pickle.Unpickler):
    def __init__(self, stream: IO[bytes], names: Mapping[tuple[str, str], object]) -> None:
        super().__init__(stream)
        self._names = names
        #: Classes and functions that are not on the list, with the arguments they would be called with.
        self.calls: list[tuple[str, tuple[Any, ...]]] = []
        self._classes: dict[str, Class] = {}
        #: The dtypes of the storages, by key.
        self.storages: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        found = self._names.get((module, name))
        if found is not None:
            return found
        if module in _BUILTINS and name == "getattr":
            return member
        if (
            module.partition(".")[0] in _HARMFUL_PACKAGES
            or module in _HARMFUL
            or (module in _BUILTINS and name in _HARMFUL_BUILTINS)
        ):
            raise harmful(module, name)
        path = f"{module}.{name}"
        if path not in self._classes:
            self._classes[path] = class_of(path, self.calls)
        return self._classes[path]

    def persistent_load(self, pid: object) -> object:
        match pid:
            case ("storage", str(dtype), str(key), _, int(elements)) | (
                "storage",
                str(dtype),
                str(key),
                _,
                int(elements),
                None,
            ):
                self.storages[key] = dtype
                return StorageKey(key, dtype, elements)
            case ("module", Class() as kind, _, _):
                # Up to torch 1.12 whole modules were saved with their source.
                return kind
        raise pickle.UnpicklingError("it refers to something that is no storage")


def unpickle(
    data: bytes | IO[bytes],
    names: Mapping[tuple[str, str], object],
    where: str,
    calls: Calls | None = None,
    storages: dict[str, str] | None = None,
    size: int = 1 << 24,
) -> Any:
    """The content of a pickle as stand-ins. Raises CheckpointError naming `where` if it is damaged or harmful.

    From a stream it reads the next pickle; `size` is the stream's length in bytes. `names` is the allowlist. Calls
    outside it are added to `calls`; without `calls` they raise as well. `storages` receives the dtype of each storage
    by its key.
    """
    size = len(data) if isinstance(data, bytes) else size
    try:
        with _bounded(64 * size + (256 << 20)):
            if Memory.is_limited and _takes_too_long(data if isinstance(data, bytes) else _next(data), names):
                _refuse(where, "it takes more time than anything of its size needs")
            stream = io.BytesIO(data) if isinstance(data, bytes) else data
            unpickler = _Unpickler(stream, names)
            found = unpickler.load()
            if isinstance(data, bytes) and stream.tell() < len(data):
                _refuse(where, f"damaged: {len(data) - stream.tell()} bytes behind what was pickled")
            kinds = [(path, kind_of(path, args)) for path, args in unpickler.calls]
            called: dict[str, Call] = {path: kind for path, kind in kinds if kind == "unclear"}
            called |= {path: kind for path, kind in kinds if kind == "unsafe"}
    except MemoryError:
        _refuse(where, "it asks for more memory than anything of its size needs")
    except RecursionError:
        _refuse(where, "it is nested too deeply")
    except pickle.UnpicklingError as error:
        _refuse(where, str(error))
    except CheckpointError:
        raise
    except Exception as error:
        # A damaged pickle fails anywhere in the unpickler, and in our stand-ins.
        _refuse(where, f"damaged: {type(error).__name__}: {error}")
    if called and calls is None:
        _refuse(where, f"it would import and call `{next(iter(called)):.80}`; nothing of it was run")
    if storages is not None:
        storages.update(unpickler.storages)
    if calls is not None:
        calls.unsafe += [path for path, kind in called.items() if kind == "unsafe"]
        calls.unclear += [path for path, kind in called.items() if kind == "unclear"]
    return found


def _refuse(where: str, reason: str) -> NoReturn:
    raise CheckpointError(f"{where}: {reason}") from None


#: Opcodes that share a value or build a tuple. With fewer of them no key takes long: each level of sharing takes two.
_SHARING: Final = (b"2", b"h", b"j", b"g", b"\x85", b"\x86", b"\x87", b"t")
_FEWEST: Final = 56
#: Seconds of computing that a pickle may take, and so many more for each of its bytes; larger ones are read once only.
_SECONDS: Final = 1
_SECONDS_A_BYTE: Final = 5e-6
_LARGEST_PROBED: Final = 2 << 20


def _next(stream: IO[bytes]) -> bytes:
    """The next bytes of a stream, up to the size that is probed; the position is restored."""
    at = stream.tell()
    data = stream.read(_LARGEST_PROBED + 1)
    stream.seek(at)
    return data


def _takes_too_long(data: bytes, names: Mapping[tuple[str, str], object]) -> bool:
    """Whether reading the pickle exceeds the CPU limit, tried in a child process.

    A key of 130 bytes (a tuple of one tuple twice, and so on) takes years to hash, and that cannot be interrupted.
    """
    if not hasattr(os, "fork") or len(data) > _LARGEST_PROBED or sum(map(data.count, _SHARING)) < _FEWEST:
        return False
    child = os.fork()
    if child == 0:
        try:
            import resource

            seconds = _SECONDS + int(len(data) * _SECONDS_A_BYTE)
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
            _Unpickler(io.BytesIO(data), names).load()
        finally:
            # What is wrong with it the parent finds as well.
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


class Memory:
    """Whether a pickle's memory is limited. The limit is process-wide: off in processes with other work."""

    is_limited = False


@contextmanager
def _bounded(more: int) -> Iterator[None]:
    """Limit this process to `more` bytes of memory in addition to what it uses now."""
    if not Memory.is_limited:
        yield
        return
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    try:
        with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  # a file of the kernel
            now = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = now + more
    if sys.platform == "linux" and (soft == resource.RLIM_INFINITY or limit < soft):
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
