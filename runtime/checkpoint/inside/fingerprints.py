"""Digests of what a rank holds: of tensors the CRC-32 of their bytes, which is what DCP stores in its files as well."""

from __future__ import annotations

import ctypes
import functools
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from ..formats.crc import crc32
from . import objects
from .digests import Digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..model import Piece


def digests_of(planner: Any, items: Sequence[tuple[Any, Any]], world_size: int) -> list[Digest]:
    """The digests of items of a plan, each paired with the state dict's value of that name.

    The cost of the audit is reading the whole state once. It is spread over the CPUs that no rank of this host needs.
    """
    found = [_described(planner, item) for item, _ in items]
    wanted = [n for n, (_, value) in enumerate(items) if _is_read(value, found[n], world_size)]
    ranks_here = int(os.environ.get("LOCAL_WORLD_SIZE", "1") or 1)
    threads = (
        min(_MOST_THREADS, len(os.sched_getaffinity(0)) // max(1, ranks_here))
        if hasattr(os, "sched_getaffinity")
        else 0
    )
    if threads < 2 or sum(found[n].bytes for n in wanted) < _SMALL:
        threads = 0
    crcs = _checksums([functools.partial(planner.resolve_data, items[n][0]) for n in wanted], threads)
    for n, crc in zip(wanted, crcs, strict=True):
        found[n] = found[n]._replace(crc=crc)
    return found


#: Memory is not read faster with more.
_MOST_THREADS: Final = 4
#: Bytes that one thread digests in less time than it takes to start others.
_SMALL: Final = 32 << 20


def _described(planner: Any, item: Any) -> Digest:
    """The digest of one item; of a tensor without its checksum."""
    if item.type.name == "BYTE_IO":
        try:
            return Digest("object", objects.digest(planner.lookup_object(item.index), crc_of), (), "object")
        except Exception:
            return Digest("object", None, (), "object")
    data = item.tensor_data
    kind = "plain" if item.type.name == "TENSOR" else "sharded"
    return Digest(kind, None, tuple(data.chunk.sizes), str(data.properties.dtype).removeprefix("torch."))


def _is_read(value: Any, digest: Digest, world_size: int) -> bool:
    """Whether it is a tensor that another rank may hold as well."""
    if digest.kind != "sharded":
        return digest.kind == "plain"
    return 0 not in digest.sizes and _may_repeat(value, world_size)


def _checksums(resolve: Sequence[Callable[[], Any]], threads: int) -> Iterator[int | None]:
    """The checksums of tensors, computed by `threads` threads, or by the calling one if 0.

    Few tensors are resolved at a time, since a planner may make copies.
    """
    if not threads:
        yield from (_crc(_resolved(get)) for get in resolve)
        return
    pending: deque[Future[int | None]] = deque()
    with ThreadPoolExecutor(threads, "collectivelint") as pool:
        for get in resolve:
            if len(pending) >= 2 * threads:
                yield pending.popleft().result()
            pending.append(pool.submit(_crc, _resolved(get)))
        while pending:
            yield pending.popleft().result()


def _resolved(get: Callable[[], Any]) -> Any:
    """The tensor, or None on error. Runs on the calling thread, since planners need not be thread-safe."""
    try:
        return get()
    except Exception:
        return None


def _crc(tensor: Any) -> int | None:
    """The CRC-32 of a tensor; None if it cannot be read (meta): the save itself then fails with a better message."""
    try:
        return crc_of(tensor) if tensor is not None else None
    except Exception:
        return None


def _may_repeat(value: Any, world_size: int) -> bool:
    """Whether another rank may hold the same part. Not if the placements shard it over all ranks of the save."""
    mesh, placements = getattr(value, "device_mesh", None), getattr(value, "placements", None)
    if mesh is None or placements is None:
        return True
    if mesh.size() < world_size:
        return True
    return any(
        not placement.is_shard() and type(placement).__name__ != "_StridedShard" and bool(mesh.size(dimension) > 1)
        for dimension, placement in enumerate(placements)
    )


def crc_of(tensor: Any) -> int:
    """The CRC-32 of a tensor's bytes in row-major order. Raises TypeError if it has no bytes of its own.

    A subclass may have several storages, or none (quantized weights, wrappers), so its address does not hold its
    values.
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
