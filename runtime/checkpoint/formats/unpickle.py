"""Pickles read without executing anything in them.

Every name that a pickle mentions stands for something of ours that does nothing but keep what it is given: those on a list for what we
want to know, all others for nothing. Names that are there to do harm are refused. torch is not imported: a dtype is its name, a
storage the number of a file entry. What a pickle may take of memory is limited, since a few bytes can ask for any amount.
"""

from __future__ import annotations

import io
import pickle
import sys
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

from ..model import CheckpointError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


class Record:
    """An object of torch's: its attributes, and what it was made with."""

    def __init__(self, *args: object) -> None:
        """Keep the arguments."""
        self.args = args

    def __hash__(self) -> int:
        """Used as a key of a mapping: by identity is enough, it is never looked up."""
        return id(self)

    def __eq__(self, other: object) -> bool:
        """By identity."""
        return self is other

    def __setstate__(self, state: object) -> None:
        """The attributes, or (None or attributes, those in slots). Not by setattr: `__class__` would change what this is."""
        for part in state if isinstance(state, tuple) else (state,):
            if isinstance(part, dict):
                self.__dict__.update(part)


class Properties:
    """torch's TensorProperties, whose state is a tuple with the dtype first."""

    # A pickle can make one without calling __init__.
    dtype = ""

    def __init__(self, dtype: str = "", *_: object) -> None:
        """Keep the dtype."""
        self.dtype = dtype

    def __setstate__(self, state: object) -> None:
        """The state is (dtype, layout, requires_grad, memory format, pin_memory), or in other versions the attributes."""
        match state:
            case (str(dtype), *_) | {"dtype": str(dtype)}:
                self.dtype = dtype


class Stored:
    """A tensor of torch.save: the key of its storage, the storage's dtype ("" for bytes), and how it lies there."""

    def __init__(self, storage: Any, start: object, sizes: object, strides: object, *rest: object) -> None:
        """As `torch._utils._rebuild_tensor_v2` gets it; v3 adds the dtype, with a storage of bytes."""
        if not (isinstance(storage, StorageKey) and isinstance(start, int) and 0 <= start < 1 << 62):
            raise pickle.UnpicklingError("a tensor without a storage")
        self.storage, self.start = storage, start
        self.sizes, self.strides = _integers(sizes), _integers(strides)
        self.dtype = storage.dtype or next((item for item in rest if isinstance(item, str) and item in DTYPES), "")

    def __setstate__(self, state: object) -> None:
        """Attributes that somebody hung on the tensor."""


class StorageKey(NamedTuple):
    """The file entry that holds a storage, by its key, and what the pickle says it has: elements of a dtype, "" for bytes."""

    key: str
    dtype: str
    elements: int


def _integers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(isinstance(item, int) and 0 <= item < 1 << 62 for item in value):
        raise pickle.UnpicklingError("a tensor's sizes are not numbers")
    return value


#: dtypes that torch has, by the names under which pickles know them.
DTYPES: Final = frozenset({
    "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64",
    "bfloat16", "bool", "complex32", "complex64", "complex128", "float8_e4m3fn", "float8_e5m2",
    "float8_e4m3fnuz", "float8_e5m2fnuz", "float8_e8m0fnu", "float4_e2m1fn_x2", "qint8", "qint32", "quint8",
    "quint4x2", "quint2x4", "bits8", "bits16", "bits1x8", "bits2x4", "bits4x2", "int1", "int2", "int3", "int4",
    "int5", "int6", "int7", "uint1", "uint2", "uint3", "uint4", "uint5", "uint6", "uint7",
})  # fmt: skip
#: Python's old names of storages -> their dtypes.
_STORAGES: Final = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128", "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8", "QInt32Storage": "qint32", "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}  # fmt: skip


class _Function:
    """Stands for a function: a pickle can call it, and cannot change it for the next file, as it could a function of ours."""

    __slots__ = ("_does",)

    def __init__(self, does: Callable[..., object]) -> None:
        self._does = does

    def __call__(self, *args: object) -> object:
        return self._does(*args)

    def __setstate__(self, _: object) -> None:
        raise pickle.UnpicklingError("it changes a function")


class _Mapping(dict[Any, Any]):
    """An OrderedDict, without the attributes that somebody hung on it (`_metadata` of a state dict)."""

    __slots__ = ()

    def __setstate__(self, _: object) -> None:
        pass


@_Function
def _text(value: object) -> object:
    return value if isinstance(value, (str, int)) else ""


@_Function
def _path(*parts: object) -> str:
    return str(PurePosixPath(*(part for part in parts if isinstance(part, str))))


@_Function
def _tuple(value: object = ()) -> tuple[object, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else ()


@_Function
def _ordered(*args: object) -> _Mapping:
    return _Mapping(args[0] if args and isinstance(args[0], (list, tuple)) else ())


@_Function
def _list(*args: object) -> list[Any]:
    return list(args[0]) if args and isinstance(args[0], (list, tuple)) else []


@_Function
def _parameter(data: object, *_: object) -> object:
    return data


@_Function
def _typed(make: object, _kind: object, args: object, *_: object) -> object:
    return Stored(*args) if make is Stored and isinstance(args, tuple) else None


@_Function
def _member(owner: object, name: object, *_: object) -> object:
    """`getattr`, as nested classes are named, methods, and under early releases of Python 3.11 members of enumerations.

    Nothing is fetched from anywhere.
    """
    if not isinstance(name, str) or name.startswith("__"):
        raise _harmful("builtins", "getattr")
    return name if owner is _text else Unread


def _harmful(module: str, name: str) -> pickle.UnpicklingError:
    return pickle.UnpicklingError(f"it mentions `{module}.{name}`, which no checkpoint needs; nothing of it was run")


_METADATA: Final = "torch.distributed.checkpoint.metadata"
#: What `.metadata` of torch.distributed.checkpoint mentions.
METADATA_NAMES: Final[Mapping[tuple[str, str], object]] = {
    **{
        (_METADATA, name): Record
        for name in (
            "Metadata", "TensorStorageMetadata", "BytesStorageMetadata", "ChunkStorageMetadata", "MetadataIndex", "StorageMeta",
        )
    },
    (_METADATA, "TensorProperties"): Properties,
    # Up to torch 2.2 it lived there.
    ("torch.distributed._shard.sharded_tensor.metadata", "TensorProperties"): Properties,
    (_METADATA, "_MEM_FORMAT_ENCODING"): _text,
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): Record,
    ("torch.serialization", "_get_layout"): _text,
    ("torch", "Size"): _tuple,
    **{(module, name): _path for module in ("pathlib", "pathlib._local") for name in (
        "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")},
    **{("torch", name): name for name in DTYPES},
    ("collections", "OrderedDict"): _ordered,
}  # fmt: skip
#: What the pickle inside a file of torch.save mentions that holds weights and the state of optimizers.
TENSOR_NAMES: Final[Mapping[tuple[str, str], object]] = {
    ("torch._utils", "_rebuild_tensor_v2"): Stored,
    ("torch._utils", "_rebuild_tensor_v3"): Stored,
    ("torch._utils", "_rebuild_qtensor"): Stored,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _typed,
    **{("torch", name): dtype for name, dtype in _STORAGES.items()},
    ("torch.storage", "UntypedStorage"): "",
    ("torch.storage", "TypedStorage"): "",
    **{("torch", name): name for name in DTYPES},
    ("torch", "Size"): _tuple,
    **{("torch", name): name for name in ("per_tensor_affine", "per_channel_affine")},
    ("torch", "Tensor"): "Tensor",
    ("torch.nn.parameter", "Parameter"): "Parameter",
    ("torch", "device"): _path,
    ("collections", "OrderedDict"): _ordered,
    ("collections", "defaultdict"): _Function(lambda *_: _Mapping()),
    ("argparse", "Namespace"): Record,
    **{
        (module, name): kind
        for module in ("builtins", "__builtin__")
        for name, kind in (("list", _list), ("dict", _ordered), ("set", _list), ("frozenset", _list))
    },
}  # fmt: skip


class Unread:
    """Stands for anything that is not on the list, and does nothing: it can be made, filled and called upon without effect."""

    def __init__(self, *_: object, **__: object) -> None:
        """Made with anything."""

    def __setstate__(self, _: object) -> None:
        """Whatever its state is."""

    def __setitem__(self, _: object, __: object) -> None:
        """As a mapping is filled."""

    def append(self, _: object) -> None:
        """As a list is."""

    extend = add = append


#: Modules that are in a pickle to do harm: whoever finds one does not want to know what else is in there. Packages of the
#: standard library with all that is in them, modules by their whole names: `code.config` is somebody's own.
_HARMFUL_PACKAGES: Final = frozenset({"os", "importlib", "multiprocessing", "asyncio", "ctypes"})
_HARMFUL: Final = frozenset({
    "posix", "nt", "subprocess", "sys", "runpy", "shutil", "socket", "pty", "commands", "marshal", "code",
    "codeop", "pickle", "_pickle", "imp", "webbrowser", "timeit", "bdb", "pdb", "cProfile", "profile",
})  # fmt: skip
_BUILTINS: Final = frozenset({"builtins", "__builtin__"})
_HARMFUL_BUILTINS: Final = frozenset({
    "eval", "exec", "compile", "__import__", "setattr", "delattr", "open", "input", "breakpoint", "globals",
    "locals", "vars", "apply", "execfile", "file", "memoryview", "exit", "quit", "help",
})  # fmt: skip


class _Unpickler(pickle.Unpickler):
    def __init__(self, data: bytes, names: Mapping[tuple[str, str], object]) -> None:
        super().__init__(io.BytesIO(data))
        self._names = names

    def find_class(self, module: str, name: str) -> Any:
        found = self._names.get((module, name))
        if found is not None:
            return found
        if module in _BUILTINS and name == "getattr":
            return _member
        if (
            module.partition(".")[0] in _HARMFUL_PACKAGES
            or module in _HARMFUL
            or (module in _BUILTINS and name in _HARMFUL_BUILTINS)
        ):
            raise _harmful(module, name)
        return Unread

    def persistent_load(self, pid: object) -> StorageKey:
        match pid:
            case ("storage", str(dtype), str(key), _, int(elements)) | (
                "storage",
                str(dtype),
                str(key),
                _,
                int(elements),
                _,
            ):
                return StorageKey(key, dtype, elements)
        raise pickle.UnpicklingError("it refers to something that is no storage")


def unpickle(data: bytes, names: Mapping[tuple[str, str], object], where: str) -> Any:
    """What a pickle says, in stand-ins; raises CheckpointError, which names `where`, for anything that is not on the list."""
    try:
        with _bounded(64 * len(data) + (256 << 20)):
            return _Unpickler(data, names).load()
    except MemoryError:
        _refuse(where, "it asks for more memory than anything of its size needs")
    except RecursionError:
        _refuse(where, "it is nested too deeply")
    except pickle.UnpicklingError as error:
        _refuse(where, str(error))
    except Exception as error:
        # A damaged pickle fails anywhere in the unpickler, and in our stand-ins.
        _refuse(where, f"damaged: {type(error).__name__}: {error}")


def _refuse(where: str, reason: str) -> NoReturn:
    raise CheckpointError(f"{where}: {reason}") from None


class Memory:
    """Is the memory that a pickle takes limited? That is for the whole process, and so not for one that does other work."""

    is_limited = False


@contextmanager
def _bounded(more: int) -> Iterator[None]:
    """Let this process take only so much more memory (in bytes) than it has."""
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
