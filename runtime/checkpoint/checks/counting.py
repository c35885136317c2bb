"""Counts how many elements of two tensors differ and the largest difference, block by block over what both have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..model import CheckpointError, width
from .slices import NUMBERS, blocks, tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..files import Side
    from ..model import Sizes, Values

#: A box (offsets, sizes) that both sides have, and on each side the values it lies in and where it begins there.
Shared = "tuple[tuple[Sizes, Sizes], tuple[Values, Sizes], tuple[Values, Sizes]]"


@dataclass(slots=True)
class Count:
    """Elements that differ, the first of them, and the largest difference (`most`; None if not a number).

    `bits` counts elements that are equal as numbers and differ in their bits: -0.0, or another NaN. `unknown` counts
    elements in boxes that differ but cannot be compared element by element; `why` gives the reason.
    """

    elements: int = 0
    first: Sizes = ()
    most: float | None = None
    bits: int = 0
    nan: int = 0
    unknown: int = 0
    why: str = ""

    def text(self, whole: int) -> str:
        """`33 of 128 elements differ, by at most 1e+03, the first at [4, 0]`."""
        parts = []
        if self.elements:
            much = f", by at most {self.most:.3g}" if self.most is not None else ""
            nan = f", {self.nan} of them are NaN on one side" if self.nan else ""
            parts.append(f"{self.elements} of {whole} elements differ{much}{nan}, the first at {list(self.first)}")
        if self.bits:
            parts.append(f"{self.bits} of {whole} elements are equal, and differ in their bits (-0.0, or another NaN)")
        if self.unknown:
            parts.append(
                f"{self.unknown} of {whole} elements lie in chunks that differ, how many do was not counted: {self.why}"
            )
        return "; ".join(parts)


def counted(boxes: Iterable[Any], first: Side, second: Side) -> Count:
    """Count over boxes that differ. Raises CheckpointError if they cannot be read."""
    found = Count()
    for box, mine, theirs in boxes:
        try:
            import torch
        except ImportError:
            found.unknown += math.prod(box[1])
            found.why = "torch is not installed"
            continue
        if mine[0].dtype != theirs[0].dtype and not {mine[0].dtype, theirs[0].dtype} <= NUMBERS:
            found.unknown += math.prod(box[1])
            found.why = f"{mine[0].dtype:.40} and {theirs[0].dtype:.40} are not compared as numbers"
            continue
        if mine[0].dtype not in NUMBERS and not width(mine[0].dtype):
            found.unknown += math.prod(box[1])
            found.why = f"several numbers of {mine[0].dtype:.40} are in a byte"
            continue
        at = 0
        for a, b in side_by_side(mine, theirs, box[1], first, second):
            _add(found, a, b, at, box, torch)
            at += len(a)
    return found


def _add(found: Count, a: Any, b: Any, at: int, box: tuple[Sizes, Sizes], torch: Any) -> None:
    """Add the differences between two flat pieces; `at` is their offset in the box, in elements."""
    differs = unequal(a, b)
    count = int(differs.sum())
    if a.dtype == b.dtype:
        raw = (a.view(torch.uint8) != b.view(torch.uint8)).view(len(a), -1).any(1) if a.dim() == 1 else differs
        found.bits += int((raw & ~differs).sum())
    if not count:
        return
    if not found.elements:
        found.first = _place(at + int(differs.nonzero()[0]), box)
    found.elements += count
    if a.dim() > 1 or a.dtype == torch.bool:
        return
    wide = torch.complex128 if a.is_complex() or b.is_complex() else torch.float64
    apart = (a[differs].to(wide) - b[differs].to(wide)).abs()
    numbers = apart[~apart.isnan()]
    found.nan += len(apart) - len(numbers)
    if len(numbers):
        found.most = max(found.most or 0.0, float(numbers.max()))


def _place(index: int, box: tuple[Sizes, Sizes]) -> Sizes:
    place = []
    for size in reversed(box[1]):
        index, rest = divmod(index, size)
        place.append(rest)
    return tuple(offset + n for offset, n in zip(box[0], reversed(place), strict=True))


def unequal(a: Any, b: Any) -> Any:
    """A mask of elements that differ, after conversion to the narrower dtype. NaN on both sides counts as equal."""
    if a.dim() > 1:
        return (a != b).any(1)
    if a.dtype == b.dtype:
        return _unequal(a, b)
    ways = [_unequal(a.to(b.dtype), b), _unequal(b.to(a.dtype), a)]
    return min(ways, key=lambda way: int(way.sum()))


def _unequal(a: Any, b: Any) -> Any:
    return (a != b) & ((a == a) | (b == b))


def side_by_side(
    mine: tuple[Values, Sizes], theirs: tuple[Values, Sizes], sizes: Sizes, first: Side, second: Side
) -> Iterator[tuple[Any, Any]]:
    """The same elements of both sides, in flat tensors of equal length; rows of bytes for non-numeric dtypes."""
    try:
        import torch
    except ImportError:
        raise CheckpointError("torch is needed to compare numbers of different dtypes") from None
    left, right = _flat(mine, sizes, first), _flat(theirs, sizes, second)
    a, b = torch.empty(0), torch.empty(0)
    while True:
        a = a if len(a) else next(left, torch.empty(0))
        b = b if len(b) else next(right, torch.empty(0))
        count = min(len(a), len(b))
        if not count:
            return
        yield a[:count], b[:count]
        a, b = a[count:], b[count:]


def _flat(side: tuple[Values, Sizes], sizes: Sizes, of: Side) -> Iterator[Any]:
    values, begin = side
    if values.dtype in NUMBERS:
        yield from tensors(values, begin, sizes, of.files)
        return
    import torch

    size, rest = width(values.dtype), b""
    for block in blocks(values, begin, sizes, of.files):
        data = rest + bytes(block)
        whole = len(data) // size * size
        rest = data[whole:]
        if whole:
            yield torch.frombuffer(bytearray(data[:whole]), dtype=torch.uint8).view(-1, size)
