"""safetensors files: single ones, and tensors that torch.distributed.checkpoint wrote in parts to several files."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

from ..model import CheckpointError, Chunk, Content, Piece, Problem, Tensor, Values, row_major
from . import header

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

SUFFIX: Final = ".safetensors"
#: Where torch's writer for Hugging Face says which part of a tensor a file has.
_SHARDING: Final = "DCP_SHARDING_INFO"
#: `shard-00001-model-00001-of-00002.safetensors`; torch counts these files from 1.
PART: Final = re.compile(r"(?:^|/)shard-(\d+)-")


def read(file: Path, name: str, rank: int | None) -> Content:
    """The tensors of one file, each with one chunk; raises CheckpointError and OSError. `name` is the file's in the checkpoint."""
    found = header.read(file)
    sharding = _sharding(found.metadata, file)
    part = PART.search(name)
    rank = int(part[1]) - 1 if part is not None else rank
    tensors = {}
    for item in found.tensors:
        values = Values(
            Piece(name, item.first, item.last - item.first), None, item.dtype, item.shape, row_major(item.shape)
        )
        offsets = sharding.get(item.name, (0,) * len(item.shape))
        if len(offsets) != len(item.shape):
            text = f"`{item.name}`: offsets of {len(offsets)} dimensions for a tensor of {len(item.shape)}"
            raise CheckpointError(f"{file}: {text}")
        whole = tuple(offset + n for offset, n in zip(offsets, item.shape, strict=True))
        chunk = Chunk(offsets, item.shape, values.storage, rank, values)
        tensors[item.name] = Tensor(item.name, item.dtype, whole, (chunk,))
    return Content(tensors, {})


def _sharding(metadata: Mapping[str, str], file: Path) -> dict[str, tuple[int, ...]]:
    """Where the parts of tensors begin, if the file says so; raises CheckpointError where that makes no sense."""
    try:
        data: dict[str, Any] = json.loads(metadata.get(_SHARDING, "{}"))
        found = {name: tuple(item["saved_offsets"]) for name, item in data.items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        found = {"": (-1,)}
    if any(type(n) is not int or n < 0 for offsets in found.values() for n in offsets):
        raise CheckpointError(f"{file}: {_SHARDING} in its header makes no sense")
    return found


def joined(parts: Iterable[Mapping[str, Tensor]], problems: list[Problem]) -> dict[str, Tensor]:
    """The tensors assembled from the parts in several files."""
    by_name: dict[str, list[Tensor]] = {}
    for tensors in parts:
        for name, tensor in tensors.items():
            by_name.setdefault(name, []).append(tensor)
    return {name: _joined(name, some, problems) for name, some in by_name.items()}


def _joined(name: str, parts: list[Tensor], problems: list[Problem]) -> Tensor:
    first = parts[0]
    if len({tensor.dtype for tensor in parts}) > 1 or len({len(tensor.shape) for tensor in parts}) > 1:
        problems.append(Problem("CK202", name, "has another dtype, or more dimensions, in another file"))
        return first
    shape = tuple(map(max, zip(*(tensor.shape for tensor in parts), strict=True))) if first.shape else ()
    chunks = tuple(sorted((tensor.chunks[0] for tensor in parts), key=lambda chunk: chunk.offsets))
    return Tensor(name, first.dtype, shape, chunks)


def gaps(files: Iterable[str]) -> Iterator[Problem]:
    """Files of parts that are missing between others. A rank that has nothing of any tensor writes no file."""
    ranks = {int(part[1]) - 1 for name in files if (part := PART.search(name)) is not None}
    missing = sorted(set(range(max(ranks, default=-1) + 1)) - ranks)
    if missing:
        text = f"no file of rank {', '.join(map(str, missing[:4]))}, though there is one of rank {max(ranks)}"
        yield Problem("CK103", "shards", f"{text}; it may have had nothing to write", "note")
