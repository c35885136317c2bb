"""A digest of tensors that adds up over shards: each element is hashed with its position in the global tensor."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Elements that are hashed at once: few enough for the caches of a processor, enough for a launch of a GPU's kernel.
_BLOCK: Final = {"cpu": 1 << 15}
_BLOCK_ELSEWHERE: Final = 1 << 22
_MASK: Final = (1 << 64) - 1
# Constants of the finaliser of MurmurHash3 (Austin Appleby, public domain) and the golden ratio, as signed numbers of 64 bits.
_STRIDE: Final = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST: Final = 0xFF51AFD7ED558CCD - (1 << 64)
_SECOND: Final = 0xC4CEB9FE1A85EC53 - (1 << 64)
#: What remains of a number of 64 bits that is shifted by 33: torch shifts the sign in.
_SHIFTED: Final = 0x7FFFFFFF


def digest(tensor: torch.Tensor, shape: Sequence[int], offsets: Sequence[int]) -> int:
    """The sum over the elements of a hash of bits and position, modulo 2 ** 64; 0 for an empty tensor.

    `tensor` begins at `offsets` of a global tensor of this shape, and lies inside it. Raises TypeError if its elements
    cannot be read (sparse, quantized).
    """
    strides = [math.prod(shape[dimension + 1 :]) for dimension in range(len(shape))]
    if tensor.dim() == 0:
        tensor, offsets, strides = tensor.reshape(1), [0], [1]
    if tensor.numel() == 0:
        return 0
    return _sum(tensor, list(offsets), strides) & _MASK


def _sum(tensor: torch.Tensor, offsets: list[int], strides: list[int]) -> int:
    most = _BLOCK.get(tensor.device.type, _BLOCK_ELSEWHERE)
    if tensor.numel() <= most:
        return _hashed(tensor, offsets, strides)
    # Along the first dimension that is worth cutting.
    dimension = next(number for number, size in enumerate(tensor.shape) if size > 1)
    size = tensor.shape[dimension]
    step = max(1, most * size // tensor.numel())
    found = 0
    for start in range(0, size, step):
        moved = [*offsets]
        moved[dimension] += start
        found += _sum(tensor.narrow(dimension, start, min(step, size - start)), moved, strides)
    return found


def _hashed(block: torch.Tensor, offsets: list[int], strides: list[int]) -> int:
    # The place in the global tensor, in row-major order.
    place = torch.zeros((1,) * block.dim(), dtype=torch.int64, device=block.device)
    for dimension, (offset, stride) in enumerate(zip(offsets, strides, strict=True)):
        along = torch.arange(offset, offset + block.shape[dimension], device=block.device).mul_(stride)
        place = place + along.reshape([-1 if other == dimension else 1 for other in range(block.dim())])
    mixed = place
    for bits in _bits(block):
        mixed = mixed.mul_(_STRIDE).add_(bits)
        for factor in (_FIRST, _SECOND):
            mixed.bitwise_xor_((mixed >> 33).bitwise_and_(_SHIFTED)).mul_(factor)
        mixed.bitwise_xor_((mixed >> 33).bitwise_and_(_SHIFTED))
    return int(mixed.sum().item()) & _MASK


def _bits(block: torch.Tensor) -> list[torch.Tensor]:
    """The bits of each element as 64-bit integers: one per element, or two for a complex number."""
    if block.layout is not torch.strided or block.is_quantized:
        raise TypeError(f"elements of {block.layout} {block.dtype} cannot be read")
    if block.is_complex():
        parts = torch.view_as_real(block.resolve_conj())
        return [*_bits(parts[..., 0]), *_bits(parts[..., 1])]
    if block.dtype is torch.bool:
        return [block.to(torch.int64)]
    by_size = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
    return [block.contiguous().view(by_size[block.element_size()]).to(torch.int64)]
