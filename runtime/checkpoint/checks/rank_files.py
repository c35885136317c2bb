"""Checkpoints with one file per rank: the ranks' tensors of each name, and the global tensor they form."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from ...quantities import ranks_text
from ..files import Side
from ..model import Checkpoint, Chunk, Problem, Tensor
from . import flat_groups, sharded_tensors
from .diff import paired
from .slices import crc_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..files import Key
    from ..model import Sizes, Values


def crcs(name: str, shards: Side) -> list[int | None]:
    """The CRC-32 of each chunk of a tensor; [] if any is unknown."""
    found = [shards.values.get((name, index)) for index in range(len(shards.checkpoint.tensors[name].chunks))]
    known = [values.crc for values in found if values is not None]
    return known if len(known) == len(found) and None not in known else []


def joined(shards: Side, whole: Checkpoint | None) -> Side:
    """A checkpoint with one file per rank as global tensors, joined as the shapes of the consolidated file require."""
    parts: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    sharded = sharded_tensors.joined(shards.checkpoint, sharded_tensors.found([shards.checkpoint]))
    known = {name for _, names in sharded.values() for name in names}
    for name in (name for name in shards.checkpoint.tensors if name not in known):
        plain, _, rank = name.rpartition("@")
        parts[plain].append((int(rank), name))
    lookup = _shapes(parts, whole) if whole is not None else {}
    tensors: dict[str, Tensor] = {}
    values: dict[Key, Values] = {}
    for plain, (tensor, names) in sharded.items():
        tensors[plain] = tensor
        values.update(
            {(plain, n): shards.values[(name, 0)] for n, name in enumerate(names) if (name, 0) in shards.values}
        )
    for plain, some in parts.items():
        locals_ = [shards.checkpoint.tensors[name] for _, name in sorted(some)]
        along = _dimension([tensor.shape for tensor in locals_], lookup.get(plain))
        if along is None and whole is None and len(locals_[0].shape) == 1 and not _agree(shards, [n for _, n in some]):
            # Nothing else says how they lie; a list has only one dimension to lie along.
            along = 0
        chunks: list[Chunk] = []
        begin = 0
        for number, name in sorted(some):
            tensor = shards.checkpoint.tensors[name]
            if along is None and chunks:
                # Replicas: the first stands for all; that they agree is for `replicas` to say.
                break
            offsets = tuple(begin if d == along else 0 for d in range(len(tensor.shape)))
            chunks.append(Chunk(offsets, tensor.shape, tensor.chunks[0].piece, number, tensor.chunks[0].values))
            begin += tensor.shape[along] if along is not None else 0
            if (name, 0) in shards.values:
                values[(plain, len(chunks) - 1)] = shards.values[(name, 0)]
        first = locals_[0]
        shape = tuple(begin if d == along else size for d, size in enumerate(first.shape))
        tensors[plain] = Tensor(plain, first.dtype, shape, tuple(chunks))
    checkpoint = shards.checkpoint
    as_one = Checkpoint(checkpoint.path, checkpoint.format, tensors, {}, checkpoint.files, checkpoint.problems)
    return Side(as_one, shards.files, values)


def alike(first: Side, second: Side) -> tuple[Side, Side]:
    """Prepare two checkpoints for comparison: if only one of them has a file per rank, join its parts.

    The flat groups of ZeRO are always mapped to parameters.
    """
    first, second = (flat_groups.rebuilt(side) or side for side in (first, second))
    if first.checkpoint.local == second.checkpoint.local:
        return first, second
    if first.checkpoint.local:
        return joined(first, second.checkpoint), second
    return first, joined(second, first.checkpoint)


def _agree(shards: Side, names: list[str]) -> bool:
    return len({tuple(crcs(name, shards)) for name in names}) == 1


def of_one_rank(shards: Side, whole: Side) -> Iterator[Problem]:
    """Report tensors of one shape with different values on the ranks, of which the consolidated file has one rank's."""
    parts: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in shards.checkpoint.tensors:
        plain, _, rank = name.rpartition("@")
        parts[plain].append((int(rank), name))
    names = Checkpoint(whole.checkpoint.path, "", {name: Tensor(name, "", (), ()) for name in parts})
    problems = []
    pairs = paired(whole.checkpoint, names)
    for name, other in pairs:
        tensor, mine = whole.checkpoint.tensors[name], whole.values.get((name, 0))
        local = sorted(parts[other])
        same_shape = all(shards.checkpoint.tensors[part].shape == tensor.shape for _, part in local)
        if mine is None or not same_shape or _agree(shards, [part for _, part in local]):
            continue
        crc = crc_of(mine, (0,) * len(tensor.shape), tensor.shape, whole.files)
        of = [rank for rank, part in local if crcs(part, shards) == [crc]]
        is_converted = shards.checkpoint.tensors[local[0][1]].dtype != tensor.dtype
        if of or is_converted:
            what = (
                f"holds what rank {of[0]} has"
                if of
                else f"can hold what one rank has, and was compared with rank {local[0][0]}"
            )
            text = f"{what}; the {len(local)} ranks hold different values of {list(tensor.shape)}"
            problems.append(Problem("CK302", name, text))
    # Statistics of a normalisation may differ between replicas, and one rank's be kept; that all weights do is no such thing.
    few = 2 * len(problems) < len(pairs)
    yield from (replace(problem, severity="note") if few else problem for problem in problems)


def _shapes(parts: dict[str, list[tuple[int, str]]], whole: Checkpoint) -> dict[str, Sizes]:
    plain = Checkpoint(whole.path, "", {name: Tensor(name, "", (), ()) for name in parts})
    return {other: whole.tensors[name].shape for name, other in paired(whole, plain)}


def _dimension(local: list[Sizes], whole: Sizes | None) -> int | None:
    """The dimension along which local tensors form the whole one; None if they are replicas.

    If the shape of the consolidated file fits neither, it is the one dimension in which the local sizes differ, else
    None.
    """
    first = local[0]
    if len(local) < 2 or not first or any(len(shape) != len(first) for shape in local):
        return None
    for d in range(len(first)):
        rest = all(shape[:d] + shape[d + 1 :] == first[:d] + first[d + 1 :] for shape in local)
        total = sum(shape[d] for shape in local)
        if rest and whole is not None and whole == (*first[:d], total, *first[d + 1 :]):
            return d
    if whole == first and all(shape == first for shape in local):
        return None
    unequal = [d for d in range(len(first)) if len({shape[d] for shape in local}) > 1]
    return unequal[0] if len(unequal) == 1 else None


def replicas(shards: Side) -> Iterator[Problem]:
    """In a checkpoint with one file per rank, report names that some ranks lack or hold with another dtype."""
    parts: defaultdict[str, dict[int, Tensor]] = defaultdict(dict)
    ranks: set[int] = set()
    for name, tensor in shards.checkpoint.tensors.items():
        plain, _, rank = name.rpartition("@")
        parts[plain][int(rank)] = tensor
        ranks.add(int(rank))
    absent: list[tuple[str, str]] = []
    for name, some in parts.items():
        if set(some) != ranks:
            rest = ranks_text(ranks - set(some))
            absent.append((name, rest))
        if len({tensor.dtype for tensor in some.values()}) > 1:
            yield Problem("CK202", name, "has another dtype on other ranks")
    if len(absent) > 0 and 4 * len(absent) < len(parts):
        # Where most names are on all ranks; stages of a pipeline, or experts, have each their own.
        name, rest = absent[0]
        more = f" (and {count} more name{'s' * (count != 1)})" if (count := len(absent) - 1) else ""
        yield Problem("CK103", name, f"is missing from the file of {rest}{more}", "note")
