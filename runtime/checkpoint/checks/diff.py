"""Two checkpoints, tensor by tensor, at any sharding and in any format.

Where two chunks share a box, the CRC-32 of that box on both sides says whether they agree there; of a whole chunk the file has it
already, so that two checkpoints of the same layout are compared by their headers.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from ..files import no_progress
from ..model import Checkpoint, CheckpointError, Chunk, Tensor
from .slices import NUMBERS, crc_of, intersection, tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..files import Progress, Side
    from ..model import Sizes, Values

Kind: TypeAlias = Literal["only in the first", "only in the second", "shape", "dtype", "values", "unreadable"]


@dataclass(frozen=True, slots=True)
class Difference:
    """How one tensor differs. `first` and `second` are its names there, "" where it is missing."""

    kind: Kind
    first: str
    second: str
    text: str


def paired(first: Checkpoint, second: Checkpoint, sides: tuple[Side, Side] | None = None) -> list[tuple[str, str]]:
    """Names that mean the same: equal, or equal but for a prefix that all of one side have (`model.`, `module.`).

    Where several prefixes would do (`model.` and `ema.`), the values decide, if `sides` are there to look at.
    """
    best: list[tuple[str, str]] = []
    least = None
    for ahead in _prefixes(first.tensors, second.tensors):
        found = {}
        for name in first.tensors:
            other = name if name in second.tensors else _moved(name, *ahead)
            if other in second.tensors:
                found[name] = other
        pairs = list(found.items())
        wrong = _count_different(pairs[:_LOOKED_AT], *sides) if sides is not None else 0
        if least is None or wrong < least:
            best, least = pairs, wrong
    return best


#: So many tensors are compared to find out which prefix is meant.
_LOOKED_AT: Final = 8


def _count_different(pairs: list[tuple[str, str]], first: Side, second: Side) -> int:
    count = 0
    for name, other in pairs:
        one, two = first.checkpoint.tensors[name], second.checkpoint.tensors[other]
        try:
            count += one.shape != two.shape or any(True for _ in different(one, two, first, second))
        except CheckpointError:
            count += 1
    return count


def _moved(name: str, cut: str, put: str) -> str:
    return put + name.removeprefix(cut) if name.startswith(cut) else ""


def _prefixes(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """What has to be cut off the names of the first, and put in front, to get those of the second; all that fit as often."""
    by_end: dict[str, list[str]] = {}
    for name in second:
        parts = name.split(".")
        for cut in range(min(len(parts), _PARTS)):
            by_end.setdefault(".".join(parts[cut:]), []).append(".".join(parts[:cut]) + "." * bool(cut))
    votes: Counter[tuple[str, str]] = Counter()
    for name in first:
        parts = name.split(".")
        for cut in range(min(len(parts) - 1, _PARTS) + 1):
            here = ".".join(parts[:cut]) + "." * bool(cut)
            there = by_end.get(".".join(parts[cut:]), ())
            if there:
                votes.update({(here, other): 1 for other in there})
                break
    most = max(votes.values(), default=0)
    return [prefix for prefix, count in votes.items() if count == most] or [("", "")]


#: Prefixes have at most so many parts: `state_dict.model.module.`.
_PARTS = 4


def compare(first: Side, second: Side, progress: Progress = no_progress) -> Iterator[Difference]:
    """Every difference, in the order of the first checkpoint; tensors that are only on one side last."""
    pairs = paired(first.checkpoint, second.checkpoint, (first, second))
    for name, other in pairs:
        one, two = first.checkpoint.tensors[name], second.checkpoint.tensors[other]
        progress(one.bytes)
        try:
            yield from _of(one, two, first, second)
        except CheckpointError as error:
            yield Difference("unreadable", name, other, str(error))
    known, others = {name for name, _ in pairs}, {other for _, other in pairs}
    for name, tensor in first.checkpoint.tensors.items():
        if name not in known:
            yield Difference("only in the first", name, "", described(tensor))
    for name, tensor in second.checkpoint.tensors.items():
        if name not in others:
            yield Difference("only in the second", "", name, described(tensor))


def _of(one: Tensor, two: Tensor, first: Side, second: Side) -> Iterator[Difference]:
    if one.shape != two.shape:
        yield Difference("shape", one.name, two.name, f"{list(one.shape)} and {list(two.shape)}")
        return
    if one.dtype != two.dtype:
        yield Difference("dtype", one.name, two.name, f"{one.dtype} and {two.dtype}")
    seen = sum(math.prod(box[1]) for box, _, _ in shared(one, two, first, second))
    missing = math.prod(one.shape) - seen
    if missing:
        yield Difference(
            "unreadable", one.name, two.name, f"{missing} of {math.prod(one.shape)} elements cannot be compared"
        )
    where = list(different(one, two, first, second))
    if where:
        count = sum(math.prod(sizes) for _, sizes in where)
        text = f"{count} of {math.prod(one.shape)} elements lie in chunks that differ, the first at {list(where[0][0])}"
        yield Difference("values", one.name, two.name, text + _by_how_much(one, two, where[0], first, second))


def different(one: Tensor, two: Tensor, first: Side, second: Side) -> Iterator[tuple[Sizes, Sizes]]:
    """The boxes (offsets, sizes) in which two tensors of one shape differ."""
    for box, (mine, here), (theirs, there) in shared(one, two, first, second):
        if mine.dtype == theirs.dtype:
            if crc_of(mine, here, box[1], first.files) != crc_of(theirs, there, box[1], second.files):
                yield box
        elif not _same_numbers(mine, here, theirs, there, box[1], first, second):
            yield box


def shared(
    one: Tensor, two: Tensor, first: Side, second: Side
) -> Iterator[tuple[tuple[Sizes, Sizes], tuple[Values, Sizes], tuple[Values, Sizes]]]:
    """Each box that a chunk of one side shares with one of the other; the values, and where in them the box begins."""
    candidates = [(index, chunk) for index, chunk in enumerate(two.chunks) if (two.name, index) in second.values]
    # Of the same layout each chunk has its one counterpart, and there may be thousands.
    same = {(chunk.offsets, chunk.sizes): (index, chunk) for index, chunk in candidates}
    for index, chunk in enumerate(one.chunks):
        mine = first.values.get((one.name, index))
        if mine is None:
            continue
        counterpart = same.get((chunk.offsets, chunk.sizes))
        for other, theirs in [counterpart] if counterpart is not None else candidates:
            box = intersection((chunk.offsets, chunk.sizes), (theirs.offsets, theirs.sizes))
            if box is not None:
                values = second.values[(two.name, other)]
                yield box, (mine, _inside(box, chunk)), (values, _inside(box, theirs))


def _inside(box: tuple[Sizes, Sizes], chunk: Chunk) -> Sizes:
    return tuple(begin - offset for begin, offset in zip(box[0], chunk.offsets, strict=True))


def _same_numbers(
    mine: Values, here: Sizes, theirs: Values, there: Sizes, sizes: Sizes, first: Side, second: Side
) -> bool:
    """Whether the numbers are the same after conversion to the narrower dtype of the two."""
    pairs = _side_by_side(mine, here, theirs, there, sizes, first, second)
    return all(_equal(a.to(b.dtype), b) or _equal(b.to(a.dtype), a) for a, b in pairs)


def _equal(one: Any, other: Any) -> bool:
    """Whether the numbers are the same. What is no number on both sides is."""
    return bool(((one == other) | ((one != one) & (other != other))).all())


def _side_by_side(
    mine: Values, here: Sizes, theirs: Values, there: Sizes, sizes: Sizes, first: Side, second: Side
) -> Iterator[tuple[Any, Any]]:
    """The same numbers of both sides, in flat tensors of the same length."""
    try:
        import torch
    except ImportError:
        raise CheckpointError("torch is needed to compare numbers of different dtypes") from None
    left, right = tensors(mine, here, sizes, first.files), tensors(theirs, there, sizes, second.files)
    a, b = torch.empty(0), torch.empty(0)
    while True:
        if not a.numel():
            a = next(left, torch.empty(0))
        if not b.numel():
            b = next(right, torch.empty(0))
        count = min(a.numel(), b.numel())
        if not count:
            return
        yield a[:count], b[:count]
        a, b = a[count:], b[count:]


def _by_how_much(one: Tensor, two: Tensor, box: tuple[Sizes, Sizes], first: Side, second: Side) -> str:
    """How far the numbers of the first box that differs are apart, where torch is there to say so."""
    try:
        import torch
    except ImportError:
        return ""
    for other, (mine, here), (theirs, there) in shared(one, two, first, second):
        if other != box or not {mine.dtype, theirs.dtype} <= NUMBERS:
            continue
        if "complex" in one.dtype + two.dtype:
            return ""
        most, count = 0.0, 0
        for a, b in _side_by_side(mine, here, theirs, there, box[1], first, second):
            apart = (a.to(torch.float64) - b.to(torch.float64)).abs()
            count += int((apart != 0).sum())
            most = max(most, float(apart.max()))
        return f"; {count} numbers there differ, by at most {most:.3g}"
    return ""


def described(tensor: Tensor) -> str:
    """`bfloat16[768, 4096], 2 chunks of ranks 0-1`."""
    chunks = f", {len(tensor.chunks)} chunks" if len(tensor.chunks) > 1 else ""
    return f"{tensor.dtype}{list(tensor.shape)}{chunks}"
