"""CK401: which tensors another number of ranks can load by position, and which hold rank-dependent values.

An example is a buffer of slot indices whose values on rank r lie in [r * n, (r + 1) * n): cut at other positions it
loads without an error, and its values point into the part of another rank. Such buffers are declared in the
configuration, or detected: integer tensors whose chunks each hold only values of the chunk's own range.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from fnmatch import fnmatch
from typing import TYPE_CHECKING, Any, Final

from ..model import CheckpointError, Problem
from .slices import blocks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..files import Side
    from ..model import Chunk, Tensor, Values

_INTEGERS: Final = frozenset({"int64", "int32"})


@dataclass(frozen=True, slots=True)
class PerRank:
    """A tensor whose values depend on the rank; `parts` are (begin, values), in order."""

    tensor: Tensor
    parts: tuple[tuple[int, Any], ...]


def check(side: Side, world_size: int, declared: Sequence[str]) -> Iterator[Problem]:
    """Report problems of loading with `world_size` ranks. `declared` are glob patterns of tensor names."""
    uneven: defaultdict[int, list[str]] = defaultdict(list)
    for tensor in side.checkpoint.tensors.values():
        along = _dimension(tensor)
        if along is None:
            continue
        if tensor.shape[along] % world_size:
            uneven[along].append(tensor.name)
        named = any(fnmatch(tensor.name, pattern) for pattern in declared)
        try:
            found = _per_rank(tensor, along, side, named=named)
        except CheckpointError as error:
            yield Problem("CK401", tensor.name, str(error))
            continue
        if found is not None:
            yield from _moved(found, world_size)
    for along, names in sorted(uneven.items()):
        others = len(names) - 1
        more = f", and so for {others} more tensor{'s' * (others != 1)}" if others else ""
        size = side.checkpoint.tensors[names[0]].shape[along]
        text = (
            f"dimension {along} ({size}) is not a multiple of {world_size}{more}: the last ranks get less, or nothing"
        )
        yield Problem("CK401", names[0], text, "note")


def _dimension(tensor: Tensor) -> int | None:
    """The one dimension that a tensor is sharded along; None if there is none or several."""
    if len(tensor.chunks) < 2:
        return None
    apart = [d for d in range(len(tensor.shape)) if len({chunk.offsets[d] for chunk in tensor.chunks}) > 1]
    return apart[0] if len(apart) == 1 else None


def _per_rank(tensor: Tensor, along: int, side: Side, *, named: bool) -> PerRank | None:
    if tensor.dtype not in _INTEGERS or along != 0 or len(tensor.shape) != 1:
        return None
    parts = []
    chunks = sorted(enumerate(tensor.chunks), key=lambda item: item[1].offsets)
    for index, chunk in chunks:
        values = side.values.get((tensor.name, index))
        if values is None:
            return None
        data = _numbers(values, chunk, side)
        if not named and not _is_own(data, chunk):
            return None
        parts.append((chunk.offsets[0], data))
    return PerRank(tensor, tuple(parts))


def _is_own(data: Any, chunk: Chunk) -> bool:
    """Whether all values lie in the chunk's own range and are not all equal."""
    begin, end = chunk.offsets[0], chunk.offsets[0] + chunk.sizes[0]
    return len(data) > 1 and begin <= min(data) and max(data) < end and min(data) != max(data)


def _numbers(values: Values, chunk: Chunk, side: Side) -> Any:
    data = b"".join(map(bytes, blocks(values, (0,) * len(chunk.sizes), chunk.sizes, side.files)))
    view = memoryview(data)
    return view.cast("q") if values.dtype == "int64" else view.cast("i")


def _moved(found: PerRank, world_size: int) -> Iterator[Problem]:
    """Report a tensor whose values move to another rank when it is cut by position into `world_size` parts."""
    tensor, saved = found.tensor, len(found.parts)
    length = tensor.shape[0]
    safe = [size for size in range(1, 2 * saved + 1) if not _outside(found, length, size)]
    outside = _outside(found, length, world_size)
    shown = ", ".join(map(str, safe)) if safe else "none"
    if outside is None:
        text = f"its values belong to their ranks, and still do with {world_size} (saved by {saved}; safe by position: {shown})"
        yield Problem("CK401", tensor.name, text, "note")
        return
    rank, value, begin, end = outside
    text = (
        f"its values belong to their ranks (saved by {saved}, each in its own range); cut by position for {world_size}, rank {rank} "
        f"gets {value}, outside of its range [{begin}, {end}); safe by position: {shown}; else every entry has to go to the rank "
        "whose range has its value"
    )
    yield Problem("CK401", tensor.name, text)


def _outside(found: PerRank, length: int, world_size: int) -> tuple[int, int, int, int] | None:
    """The first rank that gets a value outside of its range [begin, end): rank, value, begin, end."""
    block = -(-length // world_size)
    for rank in range(world_size):
        begin, end = min(length, rank * block), min(length, (rank + 1) * block)
        for first, data in found.parts:
            low, high = max(begin, first), min(end, first + len(data))
            if low < high:
                part = data[low - first : high - first]
                worst = next((value for value in (min(part), max(part)) if not begin <= value < end), None)
                if worst is not None:
                    return rank, worst, begin, end
    return None
