"""Two checkpoints, tensor by tensor, at any sharding and in any format.

Where two chunks overlap, the CRC-32 of the shared box on both sides tells whether they agree there. For a whole chunk
the file already stores it, so two checkpoints of the same layout are compared by their headers.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..files import no_progress
from ..model import Checkpoint, CheckpointError, Chunk, Tensor
from .counting import Count, counted, side_by_side, unequal
from .slices import crc_of, intersection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..files import Progress, Side
    from ..model import Problem, Sizes, Values

Kind: TypeAlias = Literal[
    "only in the first", "only in the second", "shape", "dtype", "values", "unreadable", "cannot be compared"
]


@dataclass(frozen=True, slots=True)
class Difference:
    """How one tensor differs. `first` and `second` are its names there, "" where it is missing."""

    kind: Kind
    first: str
    second: str
    text: str
    #: How many tensors of the first it is about.
    tensors: int = 1


def paired(first: Checkpoint, second: Checkpoint, sides: tuple[Side, Side] | None = None) -> list[tuple[str, str]]:
    """Pairs of corresponding names: equal, or equal after removing a prefix that all names of one side have (`model.`).

    If several prefixes fit (`model.` and `ema.`), the values decide, provided that `sides` are given.
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
    """Each pair (prefix to remove, prefix to add) that maps the most names of the first side to the second."""
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
    """Every difference, in the order of the first checkpoint; then tensors only in the second, then other parts."""
    yield from _compared(first, second, progress)
    others = {_part(side, second): side for side in second.beside}
    for side in first.beside if others else ():
        name = _part(side, first)
        other = others.pop(name, None)
        if other is None:
            count = len(side.checkpoint.tensors)
            yield Difference("only in the first", name, "", f"{count} tensor{'s' * (count != 1)}", count)
        elif side.checkpoint.tensors or other.checkpoint.tensors:
            for item in _compared(side, other, progress):
                yield replace(
                    item,
                    first=f"{name}: {item.first}" if item.first else "",
                    second=f"{name}: {item.second}" if item.second else "",
                    text=item.text if item.first or item.second else f"{name}: {item.text}",
                )
    for name, side in others.items() if first.beside else ():
        count = len(side.checkpoint.tensors)
        yield Difference("only in the second", "", name, f"{count} tensor{'s' * (count != 1)}")


def damaged(
    found: Iterable[Difference], first: Side, second: Side, problems: Iterable[tuple[Side, Problem]]
) -> Iterator[Difference]:
    """The tensors with damaged values that are not among the differences: two headers can agree where values do not.

    `problems`: those of the values of either checkpoint, each with its part.
    """
    moved = {other: name for name, other in paired(first.checkpoint, second.checkpoint, (first, second))}
    known = {item.first for item in found}
    for side, problem in problems:
        if problem.severity != "error" or problem.where not in side.checkpoint.tensors:
            continue
        of = first if side in first.parts else second
        part = "" if side is of else f"{_part(side, of)}: "
        name = problem.where if of is first or part else moved.get(problem.where, problem.where)
        if part + name not in known:
            known.add(part + name)
            which = "first" if of is first else "second"
            yield Difference("unreadable", part + name, part + problem.where, f"damaged in the {which}")


def _part(side: Side, of: Side) -> str:
    """The name of a part besides the weights, the same in both checkpoints."""
    families = [family.form for family in side.checkpoint.families]
    return families[0] if families else os.path.relpath(side.checkpoint.path, of.checkpoint.folder)


def _compared(first: Side, second: Side, progress: Progress) -> Iterator[Difference]:
    pairs = paired(first.checkpoint, second.checkpoint, (first, second))
    if not pairs:
        if first.checkpoint.tensors or second.checkpoint.tensors:
            count = len(first.checkpoint.tensors)
            yield Difference("cannot be compared", "", "", incomparable(first.checkpoint, second.checkpoint), count)
        return
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
    empty = placeholder(one, two)
    if empty:
        yield Difference("cannot be compared", one.name, two.name, empty)
        return
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
    found = count(one, two, first, second)
    if found is not None:
        yield Difference("values", one.name, two.name, found.text(math.prod(one.shape)))


def count(one: Tensor, two: Tensor, first: Side, second: Side) -> Count | None:
    """Count the elements that differ between two tensors of one shape; None if they are equal."""
    where = set(different(one, two, first, second))
    if not where:
        return None
    return counted((item for item in shared(one, two, first, second) if item[0] in where), first, second)


def different(one: Tensor, two: Tensor, first: Side, second: Side) -> Iterator[tuple[Sizes, Sizes]]:
    """The boxes (offsets, sizes) in which two tensors of one shape differ."""
    for box, (mine, here), (theirs, there) in shared(one, two, first, second):
        if mine.dtype == theirs.dtype:
            if crc_of(mine, here, box[1], first.files) != crc_of(theirs, there, box[1], second.files):
                yield box
        elif not _same_numbers((mine, here), (theirs, there), box[1], first, second):
            yield box


def shared(
    one: Tensor, two: Tensor, first: Side, second: Side
) -> Iterator[tuple[tuple[Sizes, Sizes], tuple[Values, Sizes], tuple[Values, Sizes]]]:
    """Each box in which chunks of both sides overlap; for each side the values, and the offset of the box in them."""
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
    mine: tuple[Values, Sizes], theirs: tuple[Values, Sizes], sizes: Sizes, first: Side, second: Side
) -> bool:
    """Whether the numbers are the same after conversion to the narrower dtype of the two."""
    return not any(bool(unequal(a, b).any()) for a, b in side_by_side(mine, theirs, sizes, first, second))


def placeholder(one: Tensor, two: Tensor) -> str:
    """Which of two tensors is an empty placeholder while the other has elements; "" if neither."""
    if bool(math.prod(one.shape)) == bool(math.prod(two.shape)):
        return ""
    empty = "first" if not math.prod(one.shape) else "second"
    return f"without elements in the {empty}: a placeholder, whose values are elsewhere (the flat groups of ZeRO, say)"


def incomparable(first: Checkpoint, second: Checkpoint) -> str:
    """The reason why two checkpoints without a common name cannot be compared."""
    flat = next((n for c in (first, second) for n in c.tensors if _FLAT.search(n)), "")
    why = f"; `{flat}` is many parameters in one" if flat else ""
    counts = f"none of {len(first.tensors)} names is among the {len(second.tensors)} of the other"
    return f"{counts}, as they are or behind a prefix{why}"


def correspondence(pairs: list[tuple[str, str]]) -> str:
    """How names were matched: `by equal names`, or `a.w` of the first as `model.a.w` of the second."""
    moved = next(((name, other) for name, other in pairs if name != other), None)
    if moved is None:
        return "by equal names"
    return f"`{moved[0]}` of the first as `{moved[1]}` of the second"


#: Names of tensors that hold many parameters, one behind the other.
_FLAT: Final = re.compile(r"flat_param|fp32_flat_groups|_flat_groups|single_partition_of")


def described(tensor: Tensor) -> str:
    """`bfloat16[768, 4096], 2 chunks of ranks 0-1`."""
    chunks = f", {len(tensor.chunks)} chunks" if len(tensor.chunks) > 1 else ""
    return f"{tensor.dtype}{list(tensor.shape)}{chunks}"
