"""The header of a safetensors file, rejected where the format's own reader rejects it.

It has to be strict JSON with known dtypes, and the tensors' bytes have to be consecutive from first to last.
"""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..model import CheckpointError, NotReadError
from .texts import check_size

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: The format's names of dtypes: torch's, and bits of an element. Of several numbers in a byte torch has no dtype.
DTYPES: Final = {
    "F64": ("float64", 64), "F32": ("float32", 32), "F16": ("float16", 16), "BF16": ("bfloat16", 16), "I64": ("int64", 64),
    "I32": ("int32", 32), "I16": ("int16", 16), "I8": ("int8", 8), "U8": ("uint8", 8), "U16": ("uint16", 16),
    "U32": ("uint32", 32), "U64": ("uint64", 64), "BOOL": ("bool", 8), "F8_E4M3": ("float8_e4m3fn", 8),
    "F8_E5M2": ("float8_e5m2", 8), "F8_E8M0": ("float8_e8m0fnu", 8), "F8_E4M3FNUZ": ("float8_e4m3fnuz", 8),
    "F8_E5M2FNUZ": ("float8_e5m2fnuz", 8), "C64": ("complex64", 64), "F4": ("F4", 4), "F6_E2M3": ("F6_E2M3", 6),
    "F6_E3M2": ("F6_E3M2", 6),
}  # fmt: skip
_FIELDS: Final = {"dtype", "shape", "data_offsets"}
#: Longer headers are refused by the library that these files are read with.
_LONGEST: Final = 100_000_000
#: More take more memory than is good, and no file has so many.
_MOST_TENSORS: Final = 1 << 18
#: Deeper JSON is refused by it, too.
_DEEPEST: Final = 126
_METADATA: Final = "__metadata__"


@dataclass(frozen=True, slots=True)
class Described:
    """A tensor as the header describes it; `first` and `last` are its bytes in the file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Header:
    """Tensors in the order of the header, and the texts of its metadata."""

    tensors: tuple[Described, ...]
    metadata: Mapping[str, str]


def read(file: Path) -> Header:
    """The header of a file; raises CheckpointError where that breaks the format, and OSError."""
    with file.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(0)
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or length > min(_LONGEST, size - 8):
            _refuse(file, f"not a safetensors file, or cut off (a header of {length} bytes in {size})")
        text = stream.read(length)
    if text.count(b"{") > _MOST_TENSORS:
        raise NotReadError(f"{file}: more than {_MOST_TENSORS} tensors in one file: not read")
    try:
        check_size(text)
        header = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_whole,
        )
        # Halves of surrogate pairs are no text.
        json.dumps(header, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        _refuse(file, f"its header is not JSON as safetensors has it: {error}")
    if not isinstance(header, dict):
        _refuse(file, "not a safetensors file: its header is not a JSON object")
    metadata = header.pop(_METADATA, None)
    if metadata is not None and not (isinstance(metadata, dict) and all(isinstance(v, str) for v in metadata.values())):
        _refuse(file, "its metadata are not texts")
    begin = 8 + length
    tensors = tuple(_described(file, name, item, begin) for name, item in header.items())
    _check_bytes(file, tensors, begin, size)
    return Header(tensors, metadata or {})


def _refuse(file: Path, reason: str) -> NoReturn:
    raise CheckpointError(f"{file}: {reason}") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object as a dict. Raises ValueError for a name that occurs twice with different values."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        is_tensor = any(isinstance(value, (dict, list)) for _, value in pairs)
        if is_tensor or twice in _FIELDS:
            raise ValueError(f"`{twice:.80}` occurs twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.20} is out of range")
    return value


def _whole(text: str) -> int | float:
    # Minus zero, and what is larger than 64 bits, are floats to the format's reader.
    return (
        int(text)
        if (len(text) < 20 and text != "-0") or (len(text) == 20 and 0 <= int(text) < 1 << 64)
        else _finite(text)
    )


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level:
        level = [
            item for v in level if isinstance(v, (dict, list)) for item in (v.values() if isinstance(v, dict) else v)
        ]
        depth += 1
    return depth


def _described(file: Path, name: str, item: Any, begin: int) -> Described:
    match item:
        case {"dtype": str(kind), "shape": list(dims), "data_offsets": [first, last]}:
            pass
        case _:
            _refuse(file, f"`{name}` is described wrongly")
    numbers = (*dims, first, last)
    if not all(type(n) is int and 0 <= n < 1 << 64 for n in numbers) or first > last:
        _refuse(file, f"`{name}` is described wrongly")
    if len(item) > len(_FIELDS) and _depth(item) > _DEEPEST:
        _refuse(file, f"`{name}` is described wrongly: nested too deeply")
    if kind not in DTYPES:
        _refuse(file, f"`{name}` is of the dtype `{kind:.40}`, which the format does not have")
    dtype, bits = DTYPES[kind]
    count = 1
    for n in (*dims, bits):
        count *= n
        if count >= 1 << 64:
            _refuse(file, f"`{name}` {dims} is larger than anything")
    if count % 8 or count // 8 != last - first:
        _refuse(file, f"`{name}` {dims} of {dtype} does not fit its {last - first} bytes")
    return Described(name, dtype, tuple(dims), begin + first, begin + last)


def _check_bytes(file: Path, tensors: tuple[Described, ...], begin: int, size: int) -> None:
    """The bytes of the tensors have to follow one another to the end of the file."""
    end = begin
    for tensor in sorted(tensors, key=lambda tensor: (tensor.first, tensor.last)):
        if tensor.last > size:
            _refuse(file, f"cut off: `{tensor.name}` ends at byte {tensor.last} of {size}")
        if tensor.first != end:
            what = "bytes of no tensor lie before" if tensor.first > end else "bytes of another tensor are those of"
            _refuse(file, f"{abs(tensor.first - end)} {what} `{tensor.name}`, at byte {tensor.first}")
        end = tensor.last
    if end != size:
        _refuse(file, f"{size - end} bytes of no tensor lie behind the last")
