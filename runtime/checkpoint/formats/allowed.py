"""The allowlist of names that a torch.save file may import and call: weights, optimizer states, plain values.

A call of any other name is reported: a stock reader would import and run it.
"""

from __future__ import annotations

import pickle
import re
import sys
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from .made import Class, Made, class_of
from .stand_ins import (
    DTYPES,
    STORAGES,
    Attributed,
    Function,
    Stored,
    list_of,
    member,
    ordered,
    path_text,
    text,
    tuple_of,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@Function
def _first(data: object, *_: object) -> object:
    return data


@Function
def _typed(make: Any, _kind: object, args: object, state: object = None) -> object:
    """A tensor of a subclass: the plain tensor, or its attributes (`_local_tensor` of a DTensor)."""
    # A reader calls the first argument with the third: a class that is not on the list notes that.
    is_callable = make is Stored or isinstance(make, (Function, Class))
    made = make(*args) if is_callable and isinstance(args, tuple) else Made(make, args)
    if isinstance(made, Made):
        made.state = state
    return made


@Function
def _nothing(*args: object) -> Made:
    """A tensor without values of its own: on the meta device, or a wrapper of other tensors."""
    return Made.__new__(class_of("torch.Tensor without values", None), *args)


@Function
def _sparse(_layout: object, data: object, *_: object) -> dict[str, object]:
    names = ("indices", "values") if isinstance(data, tuple) and len(data) < 5 else ("crow", "col", "values")
    return dict(zip(names, data, strict=False)) if isinstance(data, tuple) else {}


@Function
def _of_version_1(storage: object, start: object, sizes: object, strides: object) -> Stored:
    return Stored(storage, start, sizes, strides)


@Function
def _empty(cls: object, *args: object) -> object:
    """`copyreg`: an object whose state is set afterwards."""
    if not isinstance(cls, Class):
        raise pickle.UnpicklingError("it makes an object of what is no class")
    base = args[0] if args else None
    rest = args[1:2] if isinstance(base, Class) else args
    if isinstance(base, Class):
        # `_reconstructor` calls it, and its `__init__` after that; `object` and its kin are on the list.
        base.note(rest)
    return cls.__new__(cls, *rest)  # type: ignore[call-overload]


@Function
def _encoded(value: object, encoding: object = "latin1") -> bytes:
    """Bytes, as protocol 2 has them."""
    if not isinstance(value, str) or encoding not in ("latin1", "utf-8", "ascii"):
        raise pickle.UnpicklingError("it encodes what is no text")
    return value.encode(str(encoding))


@Function
def _of_type(owner: object, _item: object) -> object:
    """`typing.Union[int, str]` and its kin."""
    if not (isinstance(owner, Class) and owner.path.startswith("typing.")):
        raise pickle.UnpicklingError("it takes an item of what is no type")
    return owner


def _classes(module: str, *names: str) -> dict[tuple[str, str], object]:
    return {(module, name): class_of(f"{module}.{name}", None) for name in names}


#: The pickle inside a file of torch.save may call these.
TENSOR_NAMES: Final[Mapping[tuple[str, str], object]] = {
    ("torch._utils", "_rebuild_tensor"): _of_version_1,
    **{("torch._utils", name): Stored for name in ("_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_qtensor")},
    **{("torch._utils", name): _first for name in (
        "_rebuild_parameter", "_rebuild_parameter_with_state", "_rebuild_device_tensor_from_numpy",
        "_rebuild_device_tensor_from_cpu_tensor")},
    **{("torch._utils", name): _sparse for name in ("_rebuild_sparse_tensor", "_rebuild_sparse_csr_tensor")},
    **{("torch._utils", name): _nothing for name in (
        "_rebuild_meta_tensor_no_storage", "_rebuild_wrapper_subclass", "_rebuild_nested_tensor")},
    **{("torch._tensor", name): _typed for name in ("_rebuild_from_type_v2", "_rebuild_from_type")},
    **{("torch", name): dtype for name, dtype in STORAGES.items()},
    **{("torch.storage", name): "" for name in ("UntypedStorage", "TypedStorage")},
    **_classes("torch.storage", "_load_from_bytes"),
    **{("torch", name): name for name in DTYPES},
    ("torch", "Size"): tuple_of,
    **{("torch", name): name for name in ("per_tensor_affine", "per_channel_affine")},
    ("torch", "Tensor"): "Tensor",
    ("torch.nn.parameter", "Parameter"): "Parameter",
    ("torch", "device"): path_text,
    ("torch.serialization", "_get_layout"): text,
    ("collections", "OrderedDict"): ordered,
    ("collections", "defaultdict"): Function(lambda *_: Attributed()),
    **_classes("collections", "Counter", "deque", "ChainMap"),
    **_classes("argparse", "Namespace"), **_classes("types", "SimpleNamespace"),
    **_classes("datetime", "date", "time", "datetime", "timedelta", "timezone"),
    **_classes("zoneinfo", "ZoneInfo"), **_classes("re", "_compile"),
    **_classes("decimal", "Decimal"), **_classes("fractions", "Fraction"), **_classes("uuid", "UUID", "SafeUUID"),
    **_classes("functools", "partial"), **_classes("random", "Random"),
    **{(module, name): path_text for module in ("pathlib", "pathlib._local") for name in (
        "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath", "Path")},
    **{(module, name): _empty for module in ("copyreg", "copy_reg") for name in (
        "_reconstructor", "__newobj__", "__newobj_ex__")},
    ("_codecs", "encode"): _encoded,
    **{(module, "getitem"): _of_type for module in ("operator", "_operator")},
    **{(module, name): kind for module in ("builtins", "__builtin__") for name, kind in (
        ("list", list_of), ("dict", ordered), ("set", list_of), ("frozenset", list_of), ("tuple", tuple_of),
        ("getattr", member))},
    **{key: kind for module in ("builtins", "__builtin__") for key, kind in _classes(
        module, "complex", "bytearray", "slice", "range", "xrange", "object", "int", "float", "str", "bool", "bytes").items()},
    **_classes("numpy", "ndarray", "dtype"),
    **{key: kind for base in ("numpy.core", "numpy._core") for key, kind in {
        **_classes(f"{base}.multiarray", "_reconstruct", "scalar"), **_classes(f"{base}.numeric", "_frombuffer")}.items()},
    **_classes("numpy.random._pickle", "__bit_generator_ctor", "__generator_ctor", "__randomstate_ctor"),
    **_classes("numpy.random.bit_generator", "__pyx_unpickle_SeedSequence", "SeedSequence"),
}  # fmt: skip


#: Libraries that leave members of enumerations in checkpoints, and what those enumerations are called there.
_LIBRARIES: Final = frozenset({
    "accelerate", "apex", "colossalai", "composer", "datasets", "deepspeed", "diffusers", "fairseq", "hydra", "lightning",
    "lightning_fabric", "lightning_utilities", "megatron", "modelopt", "nemo", "omegaconf", "peft", "pytorch_lightning",
    "sentence_transformers", "torchao", "torchmetrics", "torchtitan", "torchtune", "transformer_engine", "transformers", "trl",
    "verl", "vllm",
})  # fmt: skip
_ENUMERATION: Final = re.compile(
    r"(Enum|Type|Types|Strategy|Mode|Names?|Option|Kind|Level|Backend|Method|Status|State|Policy|Stage|Precision|Device"
    r"|Reduction|Key|Flag|Verbosity|Scheme|Format|Version|Schedule)$"
)
Call: TypeAlias = "Literal['value', 'unclear', 'unsafe']"


def kind_of(path: str, args: tuple[Any, ...]) -> Call:
    """Classify a call of a class that is not on the allowlist, by its `path` and arguments.

    "value": an enumeration of a known library. "unclear": a class called with one number or word, as enumerations are
    pickled, but possibly code. "unsafe": all others, such as any class of the standard library, or one of torch or
    numpy called with a word. Which classes are enumerations cannot be known without importing them.
    """
    root, _, name = path.partition(".")
    parts = name.split(".")
    first = next((n for n, part in enumerate(parts) if part[:1].isupper()), len(parts) - 1)
    if root in sys.stdlib_module_names or len(args) != 1 or not all(part[:1].isupper() for part in parts[first:]):
        return "unsafe"
    match args[0]:
        case bool() | int() | float():
            is_known = root in ("torch", "numpy")
        case str(word) if (
            len(word) <= 64 and all(c.isalnum() or c in "._-" for c in word) and root not in ("torch", "numpy")
        ):
            is_known = False
        case _:
            return "unsafe"
    is_enumeration = root in _LIBRARIES and (_ENUMERATION.search(name) or "enums" in parts)
    return "value" if is_known or is_enumeration else "unclear"
