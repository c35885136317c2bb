"""Global tensors assembled from runs of elements in flat tensors. Nothing is copied."""

from __future__ import annotations

import bisect
import itertools
import math
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from ..files import Side
from ..model import Chunk, Tensor, row_major

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..files import Files, Key
    from ..model import Checkpoint, Sizes, Values

#: Elements of a tensor in row-major order: the first, how many, the rank that has them, and the values, which start with the first.
Run: TypeAlias = "tuple[int, int, int, Values]"


class Made:
    """Collects assembled tensors and where their values lie."""

    def __init__(self) -> None:
        """There are none yet."""
        self.tensors: dict[str, Tensor] = {}
        self.values: dict[Key, Values] = {}

    def add(self, name: str, shape: Sizes, runs: Iterable[Run]) -> None:
        """Add a tensor made of runs; each run becomes one or more chunks, in row-major order."""
        chunks: list[Chunk] = []
        dtype = ""
        for begin, count, rank, values in runs:
            at = values.start
            dtype = values.dtype
            for offsets, sizes in boxes(shape, begin, begin + count):
                place = replace(values, sizes=sizes, strides=row_major(sizes), start=at)
                self.values[(name, len(chunks))] = place
                chunks.append(Chunk(offsets, sizes, values.storage, rank, place))
                at += math.prod(sizes)
        self.tensors[name] = Tensor(name, dtype or "float32", shape, tuple(chunks))

    def copy(self, name: str, tensor: Tensor, values: Values | None) -> None:
        """Add a tensor unchanged."""
        self.tensors[name] = replace(tensor, name=name)
        if values is not None:
            self.values[(name, 0)] = values

    def side(self, of: Checkpoint, files: Files, beside: tuple[Side, ...] = ()) -> Side:
        """The collected tensors as a checkpoint that replaces `of`."""
        tensors = dict(self.tensors)
        whole = replace(of, tensors=tensors, objects={}, local=False, families=(), beside=())
        return Side(whole, files, self.values, beside)

    def alias(self, name: str, source: str) -> None:
        """A second name of a tensor."""
        self.tensors[name] = replace(self.tensors[source], name=name)
        for index in range(len(self.tensors[source].chunks)):
            self.values[(name, index)] = self.values[(source, index)]


class Vector:
    """One long vector stored in several flat tensors, each with its rank."""

    def __init__(self, parts: Sequence[tuple[int, Values]]) -> None:
        """`parts` are (rank, values), in the order of the vector."""
        self._parts = parts
        self._starts = list(itertools.accumulate((length(values) for _, values in parts), initial=0))

    def runs(self, at: int, begin: int, count: int) -> Iterator[Run]:
        """The runs of `count` elements from `at` in the vector; they are a parameter's elements from `begin` on."""
        index = max(0, bisect.bisect_right(self._starts, at) - 1)
        while index < len(self._parts) and self._starts[index] < at + count:
            low, high = max(at, self._starts[index]), min(at + count, self._starts[index + 1])
            if low < high:
                rank, values = self._parts[index]
                start = values.start + low - self._starts[index]
                yield begin + low - at, high - low, rank, replace(values, start=start)
            index += 1


def length(values: Values) -> int:
    """How many elements it has."""
    return math.prod(values.sizes)


def fragments(parts: Sequence[Values], size: int, count: int) -> Iterator[Run]:
    """The runs of a tensor of `count` elements, cut into `size` elements per rank; a shorter part leaves a hole."""
    for rank, part in enumerate(parts):
        if rank * size < count:
            yield rank * size, min(length(part), count - rank * size), rank, part


def boxes(shape: Sizes, begin: int, end: int) -> Iterator[tuple[Sizes, Sizes]]:
    """Split elements `begin` to `end` of a tensor in row-major order into contiguous boxes (offsets, sizes)."""
    if begin >= end:
        return
    if not shape:
        yield (), ()
        return
    row = math.prod(shape[1:])
    first, last = -(-begin // row), end // row
    if first > last:
        # All within one row.
        yield from _in_row(shape, last, begin - last * row, end - last * row)
        return
    if begin < first * row:
        yield from _in_row(shape, first - 1, begin - (first - 1) * row, row)
    if first < last:
        yield (first, *(0,) * (len(shape) - 1)), (last - first, *shape[1:])
    if last * row < end:
        yield from _in_row(shape, last, 0, end - last * row)


def _in_row(shape: Sizes, row: int, begin: int, end: int) -> Iterator[tuple[Sizes, Sizes]]:
    for offsets, sizes in boxes(shape[1:], begin, end):
        yield (row, *offsets), (1, *sizes)
