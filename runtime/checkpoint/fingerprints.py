"""Digests of what a rank holds: of tensors the CRC-32 of their bytes, which is what DCP stores in its files as well."""

from __future__ import annotations

import ctypes
import os
import zlib
from typing import TYPE_CHECKING, Any

from .digests import Digest

if TYPE_CHECKING:
    from .model import Piece


def digest_of(planner: Any, item: Any, value: Any, world_size: int) -> Digest:
    """Of one item of a plan; `value` is what the state dict has under its name."""
    kind = item.type.name
    if kind == "BYTE_IO":
        return Digest(
            "object", zlib.crc32(_canonical(planner.lookup_object(item.index)).encode("utf-8", "replace")), (), "object"
        )
    data = item.tensor_data
    sizes, dtype = tuple(data.chunk.sizes), str(data.properties.dtype).removeprefix("torch.")
    if kind == "TENSOR":
        return Digest("plain", crc_of(planner.resolve_data(item)), sizes, dtype)
    may_repeat = _may_repeat(value, world_size) and 0 not in sizes
    return Digest("sharded", crc_of(planner.resolve_data(item)) if may_repeat else None, sizes, dtype)


def _may_repeat(value: Any, world_size: int) -> bool:
    """May another rank hold the same part? Not if the placements shard it over all ranks of the save."""
    mesh, placements = getattr(value, "device_mesh", None), getattr(value, "placements", None)
    if mesh is None or placements is None:
        return True
    if mesh.size() < world_size:
        return True
    return any(
        not placement.is_shard() and type(placement).__name__ != "_StridedShard" and mesh.size(dimension) > 1
        for dimension, placement in enumerate(placements)
    )


def crc_of(tensor: Any) -> int:
    """The CRC-32 of a tensor's bytes in row-major order, taken where they lie."""
    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    tensor = tensor.resolve_conj().resolve_neg().contiguous().cpu()
    count = tensor.numel() * tensor.element_size()
    if not count:
        return 0
    return zlib.crc32(memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())))


def _canonical(value: Any) -> str:
    """Equal values make equal text, which pickles do not; of things with a life of their own only the class is named."""
    if isinstance(value, (list, tuple)):
        return f"{type(value).__name__}({','.join(map(_canonical, value))})"
    if isinstance(value, dict):
        return f"dict({','.join(sorted(f'{_canonical(key)}:{_canonical(item)}' for key, item in value.items()))})"
    if isinstance(value, (set, frozenset)):
        return f"set({','.join(sorted(map(_canonical, value)))})"
    known = value is None or isinstance(value, (bool, int, float, complex, str, bytes))
    return repr(value) if known else f"<{type(value).__qualname__}>"


def crc_in_file(fd: int, piece: Piece) -> int:
    """The CRC-32 of bytes as they lie in an open file now."""
    crc, position = 0, piece.offset
    while position < piece.offset + piece.length:
        block = os.pread(fd, min(1 << 20, piece.offset + piece.length - position), position)
        if not block:
            break
        crc = zlib.crc32(block, crc)
        position += len(block)
    return crc
