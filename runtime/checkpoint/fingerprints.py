"""Digests of what a rank holds: numbers that are equal where the bytes are.

Ranks are compared by sums, which cost a third of a CRC-32 and are taken where the tensor lies, also on a device; what was loaded is
compared with the file by the CRC-32 that DCP stores there.
"""

from __future__ import annotations

import ctypes
import os
import struct
import zlib
from typing import TYPE_CHECKING, Any, Final

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
        return Digest("plain", _fingerprint_or_none(planner.resolve_data(item)), sizes, dtype)
    may_repeat = _may_repeat(value, world_size) and 0 not in sizes
    return Digest("sharded", _fingerprint_or_none(planner.resolve_data(item)) if may_repeat else None, sizes, dtype)


def _fingerprint_or_none(tensor: Any) -> int | None:
    try:
        return fingerprint(tensor)
    except (TypeError, NotImplementedError, RuntimeError):
        # Of what cannot be read nothing is said.
        return None


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


#: Words of 8 bytes are summed along the rows and along the columns of squares of this size. It is odd, so that words that are all
#: the same lose nothing: an even number of them would shift their highest bits out.
_SIDE: Final = 127
#: So many squares are summed at once: 1 MB, which stays in the cache for the second sum.
_SQUARES: Final = 8


def fingerprint(tensor: Any) -> int:
    """A number (32 bits) that is the same for the same bytes in row-major order, on whatever device. Raises TypeError like `crc_of`.

    Of each square of words (`_SIDE`) the sums of its rows and columns are taken, modulo 2^64, and the CRC-32 of those; of what does
    not fill a square the CRC-32 itself. Other bytes have the same sums only if four or more words differ, and make up for each other
    in their rows and in their columns.
    """
    import torch

    tensor = _own(tensor)
    if not tensor.is_contiguous() or tensor.device.type not in ("cpu", "cuda"):
        # Not on the device, whose memory is the job's.
        tensor = tensor.cpu().contiguous()
    if not _has_storage(tensor):
        return 0
    # A dimension of one may have any stride, which `view` minds.
    data = tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8)
    if data.storage_offset() % 8:
        data = data.cpu().clone()
    whole = data.numel() // (8 * _SIDE**2) * (8 * _SIDE**2)
    squares = data[:whole].view(torch.int64).view(-1, _SIDE, _SIDE)
    rows = columns = 0
    for block in squares.split(_SQUARES if data.device.type == "cpu" else max(1, len(squares))):
        rows, columns = _crc(block.sum(2), rows), _crc(block.sum(1), columns)
    return zlib.crc32(struct.pack("<II", rows, columns), _crc(data[whole:]))


def crc_of(tensor: Any) -> int:
    """The CRC-32 of a tensor's bytes in row-major order. Raises TypeError where there are none to take."""
    tensor = _own(tensor).contiguous().cpu()
    return _crc(tensor) if _has_storage(tensor) else 0


def _own(tensor: Any) -> Any:
    """What this rank has of a tensor. A subclass may have several storages, or none (quantized weights, wrappers): TypeError."""
    import torch

    tensor = tensor.detach()
    if hasattr(tensor, "to_local"):
        tensor = tensor.to_local()
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or tensor.is_sparse or tensor.is_meta:
        raise TypeError(f"values of a {type(tensor).__name__} cannot be digested")
    return tensor.resolve_conj().resolve_neg()


def _has_storage(tensor: Any) -> bool:
    """Are there bytes, and do they lie where the tensor says? False if there are none, TypeError if they lie elsewhere."""
    count = tensor.numel() * tensor.element_size()
    begin, storage = tensor.storage_offset() * tensor.element_size(), tensor.untyped_storage()
    if count and (not storage.data_ptr() or begin + count > storage.nbytes()):
        raise TypeError("a tensor without a storage of its own")
    return bool(count)


def _crc(tensor: Any, before: int = 0) -> int:
    """The CRC-32 of a contiguous tensor's bytes, taken where they lie if that is in this machine's memory."""
    tensor = tensor.cpu()
    count = tensor.numel() * tensor.element_size()
    return zlib.crc32(memoryview((ctypes.c_char * count).from_address(tensor.data_ptr())), before) if count else before


def _canonical(value: Any, depth: int = 0) -> str:
    """Equal values make equal text, which pickles do not; of things with a life of their own only the class is named."""
    if isinstance(value, (bytes, str)):
        data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogatepass")
        return f"{type(value).__name__}#{len(data)}#{zlib.crc32(data):08x}"
    if value is None or isinstance(value, (bool, int, float, complex)):
        return repr(value)
    if depth < _DEEPEST and len(value if isinstance(value, _CONTAINERS) else ()) < _LONGEST:
        if isinstance(value, (list, tuple)):
            return f"{type(value).__name__}({','.join(_canonical(item, depth + 1) for item in value)})"
        if isinstance(value, dict):
            items = (f"{_canonical(key, depth + 1)}:{_canonical(item, depth + 1)}" for key, item in value.items())
            return f"dict({','.join(sorted(items))})"
        if isinstance(value, (set, frozenset)):
            return f"set({','.join(sorted(_canonical(item, depth + 1) for item in value))})"
    return f"<{type(value).__qualname__}>"


_CONTAINERS: Final = (list, tuple, dict, set, frozenset)
#: Deeper, or longer, things are not looked into: they are data, and equal or not is theirs to know.
_DEEPEST: Final = 8
_LONGEST: Final = 10_000


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
