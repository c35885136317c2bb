"""Stand-ins for the names in a pickle read by unpickle.py: they store what is passed to them and run nothing.

torch is not imported: a dtype is represented by its name, a storage by the number of a file entry.
"""

from __future__ import annotations

import pickle
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from .limits import MOST_DIMENSIONS
from .made import Class, class_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Record:
    """Stand-in for an object of torch: its attributes, and its constructor arguments."""

    def __init__(self, *args: object) -> None:
        """Keep the arguments."""
        self.args = args

    def __hash__(self) -> int:
        """Hash by identity, for use as a key of a mapping."""
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
        """Attributes added to the tensor."""


class StorageKey(NamedTuple):
    """The file entry that holds a storage, by its key, and what the pickle says it has: elements of a dtype, "" for bytes."""

    key: str
    dtype: str
    elements: int


def _integers(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(isinstance(item, int) and 0 <= item < 1 << 62 for item in value):
        raise pickle.UnpicklingError("a tensor's sizes are not numbers")
    if len(value) > MOST_DIMENSIONS:
        raise pickle.UnpicklingError(f"a tensor of {len(value)} dimensions")
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
STORAGES: Final = {
    "FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16", "BFloat16Storage": "bfloat16",
    "LongStorage": "int64", "IntStorage": "int32", "ShortStorage": "int16", "CharStorage": "int8", "ByteStorage": "uint8",
    "BoolStorage": "bool", "ComplexFloatStorage": "complex64", "ComplexDoubleStorage": "complex128", "QInt8Storage": "qint8",
    "QUInt8Storage": "quint8", "QInt32Storage": "qint32", "QUInt4x2Storage": "quint4x2", "QUInt2x4Storage": "quint2x4",
}  # fmt: skip


class Function:
    """Stand-in for a function: a pickle can call it, but not modify it, as it could a function of this package."""

    __slots__ = ("_does",)

    def __init__(self, does: Callable[..., object]) -> None:
        """`does` is the function that a call runs."""
        self._does = does

    def __call__(self, *args: object) -> object:
        """Call the function."""
        return self._does(*args)

    def __setstate__(self, _: object) -> None:
        """Refuse to be modified by a pickle."""
        raise pickle.UnpicklingError("it changes a function")


class Attributed(dict[Any, Any]):
    """An OrderedDict, without attributes added to it (`_metadata` of a state dict)."""

    __slots__ = ()

    def __setstate__(self, _: object) -> None:
        """Ignore added attributes."""


@Function
def text(value: object) -> object:
    """A text or a number, as it is."""
    return value if isinstance(value, (str, int)) else ""


@Function
def path_text(*parts: object) -> str:
    """A path, or a device, as text."""
    return str(PurePosixPath(*(part for part in parts if isinstance(part, str))))


@Function
def tuple_of(value: object = ()) -> tuple[object, ...]:
    """A tuple, as `torch.Size`."""
    return tuple(value) if isinstance(value, (tuple, list)) else ()


@Function
def ordered(*args: object) -> Attributed:
    """A mapping from the arguments of an OrderedDict."""
    return Attributed(args[0] if args and isinstance(args[0], (list, tuple)) else ())


@Function
def list_of(*args: object) -> list[Any]:
    """A list; also for a set, since its elements need not be hashable."""
    return list(args[0]) if args and isinstance(args[0], (list, tuple)) else []


@Function
def member(owner: object, name: object, *_: object) -> object:
    """`getattr`, which pickles use for nested classes, methods, and enumeration members in early Python 3.11.

    It looks nothing up.
    """
    if not isinstance(name, str) or name.startswith("__"):
        raise harmful("builtins", "getattr")
    if isinstance(owner, Class):
        return class_of(f"{owner.path}.{name}", owner.calls)
    return name if owner is text else class_of(f"{type(owner).__name__}.{name}", None)


def harmful(module: str, name: str) -> pickle.UnpicklingError:
    """The error that refuses a dangerous name."""
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
    (_METADATA, "_MEM_FORMAT_ENCODING"): text,
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"): Record,
    ("torch.serialization", "_get_layout"): text,
    ("torch", "Size"): tuple_of,
    **{(module, name): path_text for module in ("pathlib", "pathlib._local") for name in (
        "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")},
    **{("torch", name): name for name in DTYPES},
    ("collections", "OrderedDict"): ordered,
}  # fmt: skip
