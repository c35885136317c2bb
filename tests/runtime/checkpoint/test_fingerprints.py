"""Equal bytes have equal fingerprints, however they lie; other bytes have others."""

from __future__ import annotations

import pytest
import torch
from collectivelint.runtime.checkpoint.fingerprints import fingerprint

#: Numbers of float32 around the edges of what is summed at once: squares of 127 x 127 words of 8 bytes.
SQUARE = 127 * 127 * 2
SIZES = [1, 7, SQUARE - 1, SQUARE, SQUARE + 1, 8 * SQUARE, 17 * SQUARE + 5]


@pytest.mark.parametrize("size", SIZES)
def test_how_it_lies_makes_no_difference(size: int) -> None:
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(0))
    wanted = fingerprint(tensor)
    assert fingerprint(tensor.clone()) == wanted
    assert fingerprint(tensor.view(torch.int32)) == wanted
    assert fingerprint(tensor.view(1, -1)) == wanted
    for offset in (1, 2, 3):
        # Not at a multiple of eight bytes.
        other = torch.zeros(size + offset)[offset:]
        other.copy_(tensor)
        assert fingerprint(other) == wanted
    strided = torch.zeros(size, 2)
    strided[:, 0] = tensor
    assert fingerprint(strided[:, 0]) == wanted
    assert fingerprint(tensor.requires_grad_()) == wanted


@pytest.mark.parametrize("size", SIZES)
def test_any_byte_makes_a_difference(size: int) -> None:
    tensor = torch.randn(size, generator=torch.Generator().manual_seed(0))
    data = tensor.view(torch.uint8)
    wanted = fingerprint(tensor)
    for place in {0, 3, data.numel() // 2, data.numel() - 1}:
        for bit in (0, 7):
            data[place] ^= 1 << bit
            assert fingerprint(tensor) != wanted
            data[place] ^= 1 << bit
    assert fingerprint(tensor) == wanted


def test_other_orders_have_other_fingerprints() -> None:
    tensor = torch.arange(4.0 * SQUARE)
    seen = {fingerprint(tensor)}
    for other in (
        tensor.flip(0),
        tensor.roll(1),
        tensor.roll(2),
        tensor.roll(SQUARE),
        tensor.roll(127 * 2),
        torch.cat([tensor[2:4], tensor[:2], tensor[4:]]),
        tensor.view(4, -1).flip(0),
    ):
        seen.add(fingerprint(other))
    assert len(seen) == 8


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int64, torch.int8]
)
def test_numbers_that_are_all_the_same(dtype: torch.dtype) -> None:
    values = [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0] if dtype.is_floating_point else [-2, -1, 0, 1, 2]
    seen = {fingerprint(torch.full((300_000,), value).to(dtype)) for value in values}
    assert len(seen) == len(values)


def test_what_has_no_bytes() -> None:
    assert fingerprint(torch.empty(0, 3)) == fingerprint(torch.empty(0, dtype=torch.int64))
    for tensor in (torch.ones(3, device="meta"), torch.eye(3).to_sparse()):
        with pytest.raises(TypeError):
            fingerprint(tensor)
    assert fingerprint(torch.tensor([True, False])) == fingerprint(torch.tensor([1, 0], dtype=torch.uint8))
    assert fingerprint(torch.tensor([1 + 2j]).conj()) == fingerprint(torch.tensor([1 - 2j]))
