"""safetensors files: one, several with an index, or those that torch.distributed.checkpoint writes for Hugging Face."""

from __future__ import annotations

import json
import math
import os
import re
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from ..model import Checkpoint, CheckpointError, Chunk, Piece, Problem, Tensor, Values, missing_ranks, row_major, width
from .limits import MOST_DIMENSIONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

INDEX: Final = "model.safetensors.index.json"
#: The format's names of dtypes.
_DTYPES: Final = {
    "F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "I64": "int64", "I32": "int32",
    "I16": "int16", "I8": "int8", "U8": "uint8", "U16": "uint16", "U32": "uint32", "U64": "uint64", "BOOL": "bool",
    "F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu", "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz", "C64": "complex64",
}  # fmt: skip
#: Longer headers are refused by the library that everybody reads these files with.
_LONGEST: Final = 100_000_000
#: Where torch's writer for Hugging Face says which part of a tensor a file has.
_SHARDING: Final = "DCP_SHARDING_INFO"
_RANK: Final = re.compile(r"shard-(\d+)-model-|rank_?(\d+)")


def files_of(folder: Path) -> list[Path]:
    """The safetensors files of a folder; those in folders below are checkpoints of their own."""
    return sorted(file for file in folder.glob("*.safetensors") if file.is_file())


def load(path: Path) -> Checkpoint:
    """Read the headers of a file, of what an index names, or of the parts that a folder has; raises CheckpointError."""
    folder = path if path.is_dir() else path.parent
    index = path if path.name.endswith(".index.json") else path / INDEX if (path / INDEX).is_file() else None
    problems: list[Problem] = []
    named: dict[str, str] = _index(index) if index is not None else {}
    if index is not None:
        files = sorted({folder / name for name in named.values()})
        problems += [
            Problem("CK102", file.name, f"named by {index.name}, and missing") for file in files if not file.is_file()
        ]
        files = [file for file in files if file.is_file()]
    else:
        files = [path] if path.is_file() else files_of(folder)
    parts: defaultdict[str, list[Tensor]] = defaultdict(list)
    sizes: dict[str, int] = {}
    plain: list[str] = []
    for file in files:
        name = file.name if path.is_file() and index is None else file.relative_to(folder).as_posix()
        try:
            sizes[name] = file.stat().st_size
            tensors, is_part = _read(file, name)
        except OSError as error:
            problems.append(Problem("CK102", name, error.strerror or str(error)))
            continue
        except CheckpointError as error:
            if len(files) == 1:
                raise
            problems.append(Problem("CK102", name, str(error)))
            continue
        if not is_part:
            plain.append(name)
        for tensor in tensors:
            parts[tensor.name].append(tensor)
    if index is None and len(files) > 1 and len(plain) > 1:
        names = ", ".join(plain[:4])
        raise CheckpointError(f"{path}: several files without an index ({names}); name the one that is meant")
    tensors_ = {name: _joined(name, some, problems) for name, some in parts.items()}
    problems += _gaps(sizes)
    for name in sorted(set(named) - set(tensors_)):
        problems.append(Problem("CK102", name, f"named by {INDEX}, and in none of its files"))
    return Checkpoint(path, "safetensors", tensors_, {}, sizes, tuple(problems))


def load_ranks(path: Path, files: Mapping[int, Path]) -> Checkpoint:
    """A folder with a file for each rank; each tensor is its rank's own, `NAME@RANK`."""
    tensors: dict[str, Tensor] = {}
    problems: list[Problem] = []
    for rank, file in sorted(files.items()):
        try:
            found, _ = _read(file, file.name)
        except (CheckpointError, OSError) as error:
            problems.append(Problem("CK102", file.name, str(error)))
            continue
        for tensor in found:
            chunk = replace(tensor.chunks[0], rank=rank)
            tensors[f"{tensor.name}@{rank}"] = replace(tensor, name=f"{tensor.name}@{rank}", chunks=(chunk,))
    missing = missing_ranks(files)
    if missing:
        problems.append(
            Problem("CK103", str(path), f"no file of rank {missing}, though there is one of rank {max(files)}")
        )
    sizes = {file.name: file.stat().st_size for file in files.values()}
    return Checkpoint(path, "rank files", tensors, {}, sizes, tuple(problems), local=True)


def _gaps(files: Iterable[str]) -> Iterator[Problem]:
    """Files of ranks that are missing between others. Nothing says how many there should be."""
    ranks = {
        rank for name in files if name.rpartition("/")[2].startswith("shard-") and (rank := _rank(name)) is not None
    }
    missing = missing_ranks(ranks)
    if missing:
        # A rank that has nothing of any tensor writes no file.
        text = f"no file of rank {missing}, though there is one of rank {max(ranks)}; it may have had nothing to write"
        yield Problem("CK103", "shards", text, "note")


def _index(file: Path) -> dict[str, str]:
    try:
        data = json.loads(file.read_bytes())
        found = {str(name): str(where) for name, where in data["weight_map"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{file}: not an index of safetensors files: {type(error).__name__} {error}") from None
    for where in found.values():
        if where.startswith(("/", "\\")) or ".." in where.split("/"):
            raise CheckpointError(f"{file}: names `{where}`, outside of its folder")
    return found


def header_of(file: Path) -> tuple[dict[str, Any], int, int]:
    """The header of a file, where its data begin, and the file's size; raises CheckpointError and OSError."""
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        length = int.from_bytes(stream.read(8), "little")
        if size < 10 or length > min(_LONGEST, size - 8):
            raise CheckpointError(f"{file}: not a safetensors file, or cut off (a header of {length} bytes in {size})")
        try:
            header = json.loads(stream.read(length))
        except (ValueError, RecursionError):
            raise CheckpointError(f"{file}: not a safetensors file: its header is no JSON") from None
    if not isinstance(header, dict):
        raise CheckpointError(f"{file}: not a safetensors file: its header is no JSON object")
    return header, 8 + length, size


def _read(file: Path, name: str) -> tuple[list[Tensor], bool]:
    """The tensors of one file, each with one chunk; and does the file say that it has parts of tensors?"""
    header, begin, size = header_of(file)
    metadata = header.pop("__metadata__", None)
    sharding = _sharding(metadata if isinstance(metadata, dict) else {})
    return [_tensor(file, name, key, item, begin, size, sharding) for key, item in header.items()], _SHARDING in (
        metadata if isinstance(metadata, dict) else {}
    )


def _tensor(
    file: Path, name: str, key: str, item: Any, begin: int, size: int, sharding: Mapping[str, tuple[int, ...]]
) -> Tensor:
    match item:
        case {"dtype": str(kind), "shape": list(dims), "data_offsets": [int(first), int(last)]}:
            pass
        case _:
            raise CheckpointError(f"{file}: `{key}` is described wrongly")
    is_number = all(isinstance(n, int) and 0 <= n < 1 << 62 for n in (*dims, first, last))
    if not is_number or first > last or len(dims) > MOST_DIMENSIONS:
        raise CheckpointError(f"{file}: `{key}` is described wrongly")
    dtype, shape = _DTYPES.get(kind, kind), tuple(dims)
    if width(dtype) and last - first != math.prod(shape) * width(dtype):
        raise CheckpointError(f"{file}: `{key}` {list(shape)} of {dtype} does not fit its {last - first} bytes")
    if begin + last > size:
        raise CheckpointError(f"{file}: cut off: `{key}` ends at byte {begin + last} of {size}")
    values = Values(Piece(name, begin + first, last - first), None, dtype, shape, row_major(shape))
    offsets = sharding.get(key, (0,) * len(shape))
    if len(offsets) != len(shape):
        raise CheckpointError(f"{file}: `{key}`: offsets of {len(offsets)} dimensions for a tensor of {len(shape)}")
    whole = tuple(offset + n for offset, n in zip(offsets, shape, strict=True))
    return Tensor(key, dtype, whole, (Chunk(offsets, shape, values.storage, _rank(name), values),))


def _sharding(metadata: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Where the parts of tensors begin, if the file says so."""
    try:
        data = json.loads(metadata.get(_SHARDING, "{}"))
        found = {name: tuple(item["saved_offsets"]) for name, item in data.items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}
    return {name: offsets for name, offsets in found.items() if all(isinstance(n, int) and n >= 0 for n in offsets)}


def _rank(name: str) -> int | None:
    match = _RANK.search(name)
    if match is None:
        return None
    # torch counts the files of its ranks from 1.
    return int(match[1]) - 1 if match[1] else int(match[2])


def _joined(name: str, parts: list[Tensor], problems: list[Problem]) -> Tensor:
    """The tensor that the parts of several files make."""
    first = parts[0]
    if len({tensor.dtype for tensor in parts}) > 1 or len({len(tensor.shape) for tensor in parts}) > 1:
        problems.append(Problem("CK202", name, "has another dtype, or more dimensions, in another file"))
        return first
    shape = tuple(map(max, zip(*(tensor.shape for tensor in parts), strict=True))) if first.shape else ()
    chunks = tuple(sorted((tensor.chunks[0] for tensor in parts), key=lambda chunk: chunk.offsets))
    return Tensor(name, first.dtype, shape, chunks)
