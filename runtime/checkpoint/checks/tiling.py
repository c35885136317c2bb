"""CK201: the chunks of a tensor have to tile it. No hole, no overlap, nothing outside; found by sweeping, not by comparing pairs."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from typing import TYPE_CHECKING

from ..model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..model import Chunk, Sizes, Tensor


def check(tensor: Tensor) -> Iterator[Problem]:
    """What is wrong with the chunks of a tensor."""
    outside = [index for index, chunk in enumerate(tensor.chunks) if not _is_inside(chunk, tensor.shape)]
    for index in outside[:1]:
        chunk = tensor.chunks[index]
        text = f"the chunk at {list(chunk.offsets)} of {list(chunk.sizes)} does not lie in {list(tensor.shape)}"
        yield Problem("CK201", tensor.name, text, chunks=tuple(outside))
    if outside or not math.prod(tensor.shape):
        return
    chunks = [index for index, chunk in enumerate(tensor.chunks) if math.prod(chunk.sizes)]
    pair = _overlap(tensor.chunks, chunks, len(tensor.shape))
    if pair is not None:
        first, second = (tensor.chunks[index] for index in pair)
        text = f"the chunks at {list(first.offsets)} of {list(first.sizes)} and at {list(second.offsets)} of "
        yield Problem(
            "CK201", tensor.name, f"{text}{list(second.sizes)} overlap; whichever is read last wins", chunks=pair
        )
        return
    there, wanted = sum(math.prod(tensor.chunks[index].sizes) for index in chunks), math.prod(tensor.shape)
    if there < wanted:
        where = _hole(tensor.chunks, chunks, tensor.shape)
        text = f"no chunk has {where} of {list(tensor.shape)}" if where else f"chunks have {there} of {wanted} elements"
        yield Problem("CK201", tensor.name, f"{text}; whatever memory held is loaded there")


def _is_inside(chunk: Chunk, shape: Sizes) -> bool:
    return len(chunk.offsets) == len(chunk.sizes) == len(shape) and all(
        offset >= 0 and offset + size <= whole
        for offset, size, whole in zip(chunk.offsets, chunk.sizes, shape, strict=True)
    )


def _overlap(chunks: Sequence[Chunk], some: list[int], dimensions: int) -> tuple[int, int] | None:
    """Two chunks that share elements."""
    if len(some) < 2:
        return None
    if dimensions == 0:
        return some[0], some[1]
    # Where intervals of a dimension are equal or apart, as in every grid, only those that are equal can meet.
    for dimension in range(dimensions):
        groups = _apart(chunks, some, dimension)
        if groups is not None and len(groups) > 1:
            return next((pair for group in groups if (pair := _overlap(chunks, group, dimensions)) is not None), None)
    return _swept(chunks, some, dimensions)


def _apart(chunks: Sequence[Chunk], some: list[int], dimension: int) -> list[list[int]] | None:
    """The chunks grouped by their interval in a dimension; None if two different intervals overlap."""
    groups: defaultdict[tuple[int, int], list[int]] = defaultdict(list)
    for index in some:
        chunk = chunks[index]
        groups[(chunk.offsets[dimension], chunk.offsets[dimension] + chunk.sizes[dimension])].append(index)
    ordered = sorted(groups)
    if any(end > begin for (_, end), (begin, _) in itertools.pairwise(ordered)):
        return None
    return [groups[interval] for interval in ordered]


def _swept(chunks: Sequence[Chunk], some: list[int], dimensions: int) -> tuple[int, int] | None:
    """Sweep along the dimension with the most distinct offsets; compare only chunks that overlap in it."""
    along = max(range(dimensions), key=lambda d: len({chunks[index].offsets[d] for index in some}))
    open_: list[int] = []
    for index in sorted(some, key=lambda index: chunks[index].offsets[along]):
        begin = chunks[index].offsets[along]
        open_ = [other for other in open_ if chunks[other].offsets[along] + chunks[other].sizes[along] > begin]
        for other in open_:
            if all(_meet(chunks[index], chunks[other], d) for d in range(dimensions)):
                return min(index, other), max(index, other)
        open_.append(index)
    return None


def _meet(one: Chunk, other: Chunk, dimension: int) -> bool:
    begin, end = one.offsets[dimension], one.offsets[dimension] + one.sizes[dimension]
    return begin < other.offsets[dimension] + other.sizes[dimension] and other.offsets[dimension] < end


def _hole(chunks: Sequence[Chunk], some: list[int], shape: Sizes) -> str:
    """The first region without a chunk, as a slice: `[4096:8192, :]`; "" if it is not a simple slice."""
    if not some:
        return "anything"
    for dimension, size in enumerate(shape):
        groups = _apart(chunks, some, dimension)
        if groups is None:
            continue
        end = 0
        for group in groups:
            begin = chunks[group[0]].offsets[dimension]
            if begin > end:
                return _slice(shape, dimension, end, begin)
            end = begin + chunks[group[0]].sizes[dimension]
        if end < size:
            return _slice(shape, dimension, end, size)
        for group in groups:
            covered = sum(math.prod(chunks[index].sizes) for index in group)
            wanted = math.prod(shape) // size * chunks[group[0]].sizes[dimension]
            if covered < wanted and len(groups) > 1:
                begin = chunks[group[0]].offsets[dimension]
                rest = tuple(chunks[group[0]].sizes[dimension] if d == dimension else n for d, n in enumerate(shape))
                return _hole_in(chunks, group, rest, dimension, begin)
    return ""


def _hole_in(chunks: Sequence[Chunk], group: list[int], shape: Sizes, known: int, begin: int) -> str:
    """The hole in one row of a grid of chunks, as a slice of the whole tensor."""
    for dimension, size in enumerate(shape):
        if dimension == known:
            continue
        intervals = sorted((chunks[i].offsets[dimension], chunks[i].sizes[dimension]) for i in group)
        end = 0
        for first, length in [*intervals, (size, 0)]:
            if first > end:
                parts = [":"] * len(shape)
                parts[known], parts[dimension] = f"{begin}:{begin + shape[known]}", f"{end}:{first}"
                return f"[{', '.join(parts)}]"
            end = max(end, first + length)
    return ""


def _slice(shape: Sizes, dimension: int, begin: int, end: int) -> str:
    parts = [":"] * len(shape)
    parts[dimension] = f"{begin}:{end}"
    return f"[{', '.join(parts)}]"
