"""Digests of what a rank holds: of tensors the CRC-32 of their bytes, which is what DCP stores in its files as well."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

from ..formats.crc import crc32
from . import objects
from .digests import Digest

if TYPE_CHECKING:
    from ..model import Piece


def digest_of(planner: Any, item: Any, value: Any, world_size: int) -> Digest:
    """Of one item of a plan; `value` is what the state dict has under its name."""
    kind = item.type.name
    if kind == "BYTE_IO":
        return Digest("object", objects.digest(planner.lookup_object(item.index), crc_of), (), "object")
    data = item.tensor_data
    sizes, dtype = tuple(data.chunk.sizes), str(data.properties.dtype).removeprefix("torch.")
    if kind == "TENSOR":
        return Digest("plain", _crc_or_none(planner.resolve_data(item)), sizes, dtype)
    may_repeat = _may_repeat(value, world_size) and 0 not in sizes
    return Digest("sharded", _crc_or_none(planner.resolve_data(item)) if may_repeat else None, sizes, dtype)


def _crc_or_none(tensor: Any) -> int | None:
    try:
        return crc_of(tensor)
    except (TypeError, NotImplementedError, RuntimeError):
        # Of what cannot be read nothing is said.
        return None


def _may_repeat(value: Any, world_size: int) -> bool:
    """Whether another rank may hold the same part. Not if the placements shard it over all ranks of the save."""
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
    """The CRC-32 of a tensor's bytes in row-major order, taken where they lie. Raises TypeError where there are none to take.

    A subclass may have several storages, or none (quantized weights, wrappers): what it holds is not at its address.
    """
    import torch

    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.is_sparse or tensor.is_meta:
        raise TypeError(f"values of a {type(tensor).__name__} cannot be digested")
    tensor = tensor.resolve_conj().resolve_neg().contiguous().cpu()
    count = tensor.numel() * tensor.element_size()
    if not count:
        return 0
    begin, storage = tensor.storage_offset() * tensor.element_size(), tensor.untyped_storage()
    if not storage.data_ptr() or begin + count > storage.nbytes():
        raise TypeError("a tensor without a storage of its own")
    return crc32(memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())))


def crc_in_file(fd: int, piece: Piece) -> int:
    """The CRC-32 of bytes as they lie in an open file now."""
    crc, position = 0, piece.offset
    while position < piece.offset + piece.length:
        block = os.pread(fd, min(1 << 20, piece.offset + piece.length - position), position)
        if not block:
            break
        crc = crc32(block, crc)
        position += len(block)
    return crc
