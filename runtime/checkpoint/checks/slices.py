"""Slices of stored tensors: the bytes of a box in row-major order, whatever its strides, and their CRC-32."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Final

from ..files import BLOCK
from ..formats.crc import crc32
from ..model import CheckpointError, Piece, is_contiguous, width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..files import Files
    from ..model import Sizes, Values

#: Runs shorter than this are cut out of a larger block instead of being read one by one.
_RUN: Final = 1 << 16
#: A tensor that does not lie in order is read whole; beyond this nobody has the memory.
_LARGEST: Final = 1 << 32


#: dtypes whose values are numbers on their own; those of quantized ones mean something with their scales only.
NUMBERS: Final = frozenset(
    [
        "uint8",
        "int8",
        "int16",
        "int32",
        "int64",
        "float16",
        "float32",
        "float64",
        "bfloat16",
        "bool",
        "complex64",
        "complex128",
        "float8_e4m3fn",
        "float8_e5m2",
    ]
)


def intersection(one: tuple[Sizes, Sizes], other: tuple[Sizes, Sizes]) -> tuple[Sizes, Sizes] | None:
    """The box that two boxes (offsets, sizes) share; None if there is none."""
    begin = tuple(map(max, zip(one[0], other[0], strict=True)))
    ends = zip(one[0], one[1], other[0], other[1], strict=True)
    sizes = tuple(min(a + n, b + m) - first for (a, n, b, m), first in zip(ends, begin, strict=True))
    return (begin, sizes) if all(size > 0 for size in sizes) else None


def crc_of(values: Values, offsets: Sizes, sizes: Sizes, files: Files) -> int:
    """The CRC-32 of a box of a stored tensor; that of the file where the box is all of it."""
    if values.crc is not None and values.is_whole and tuple(sizes) == tuple(values.sizes):
        return values.crc
    crc = 0
    for block in blocks(values, offsets, sizes, files):
        crc = crc32(block, crc)
    return crc


def blocks(values: Values, offsets: Sizes, sizes: Sizes, files: Files) -> Iterator[memoryview | bytes]:
    """The bytes of a box in row-major order, a block at a time; a block is gone when the next is asked for."""
    if 0 in sizes:
        return
    if not width(values.dtype):
        if tuple(sizes) != tuple(values.sizes):
            raise CheckpointError(f"{values.storage.file}: parts of a tensor of {values.dtype:.40} cannot be read")
        yield from files.blocks(values.storage)
        return
    if not is_contiguous(values.sizes, values.strides):
        yield _gathered(values, offsets, sizes, files)
        return
    size = width(values.dtype)
    # Dimensions behind this one are taken whole: what is taken of it lies together.
    split = max((d for d in range(len(sizes)) if sizes[d] != values.sizes[d]), default=0)
    together = math.prod(sizes[split:]) * size
    spans = [range(sizes[d]) for d in range(split)]
    base = values.storage.offset + values.start * size
    first = base + sum(offset * stride for offset, stride in zip(offsets, values.strides, strict=True)) * size
    file = values.storage.file
    if not spans or together >= _RUN:
        for index in itertools.product(*spans):
            begin = first + sum(i * stride for i, stride in zip(index, values.strides, strict=False)) * size
            yield from files.blocks(Piece(file, begin, together))
        return
    step = values.strides[split - 1] * size
    most = max(1, BLOCK // step)
    for index in itertools.product(*spans[:-1]):
        begin = first + sum(i * stride for i, stride in zip(index, values.strides, strict=False)) * size
        for row in range(0, sizes[split - 1], most):
            rows = min(most, sizes[split - 1] - row)
            data = memoryview(files.read(Piece(file, begin + row * step, (rows - 1) * step + together)))
            yield b"".join(data[at : at + together] for at in range(0, rows * step, step))


def _gathered(values: Values, offsets: Sizes, sizes: Sizes, files: Files) -> bytes:
    tensor = _tensor(values, files)
    for dimension, (offset, size) in enumerate(zip(offsets, sizes, strict=True)):
        tensor = tensor.narrow(dimension, offset, size)
    import torch

    return bytes(tensor.contiguous().view(-1).view(torch.uint8).numpy())


def _tensor(values: Values, files: Files) -> Any:
    try:
        import torch
    except ImportError:
        raise CheckpointError(
            f"{values.storage.file}: a tensor that is stored out of order needs torch to be read"
        ) from None
    if values.dtype not in NUMBERS:
        raise CheckpointError(f"{values.storage.file}: a tensor of {values.dtype:.40} that is stored out of order")
    if values.storage.length > _LARGEST:
        raise CheckpointError(
            f"{values.storage.file}: a tensor of {values.storage.length} bytes that is stored out of order"
        )
    storage = torch.frombuffer(bytearray(files.read(values.storage)), dtype=getattr(torch, values.dtype))
    return storage.as_strided(values.sizes, values.strides, values.start)


def tensors(values: Values, offsets: Sizes, sizes: Sizes, files: Files) -> Iterator[Any]:
    """The numbers of a box as flat torch tensors, a block at a time. Needs torch."""
    import torch

    if values.dtype not in NUMBERS:
        raise CheckpointError(f"{values.storage.file}: numbers of {values.dtype:.40} cannot be compared")
    size, rest = width(values.dtype), b""
    for block in blocks(values, offsets, sizes, files):
        data = rest + bytes(block)
        whole = len(data) // size * size
        rest = data[whole:]
        if whole:
            yield torch.frombuffer(bytearray(data[:whole]), dtype=getattr(torch, values.dtype))
