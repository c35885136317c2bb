"""CK302: is a consolidated file what the shards make when they are put together?

What people find when they look is always one of a few things: one rank's part under the name of the whole, one part twice, or the
parts in the wrong order. Each is told by name.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from ...quantities import ranks_text
from ..model import Checkpoint, CheckpointError, Chunk, Problem, Tensor
from .diff import Side, different, paired
from .slices import crc_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..model import Sizes, Values
    from .contents import Key


def check(shards: Side, whole: Side) -> Iterator[Problem]:
    """Compare a checkpoint's shards with the consolidated file that was made of them."""
    of_one: set[str] = set()
    if shards.checkpoint.local:
        parts = shards
        shards = joined(parts, whole.checkpoint)
        found = list(_of_one_rank(parts, whole))
        of_one = {problem.where for problem in found}
        yield from found
    pairs = paired(whole.checkpoint, shards.checkpoint, (whole, shards))
    if not pairs:
        name = whole.checkpoint.path.name
        yield Problem("CK302", name, "none of its names is in the checkpoint: it was made of something else")
        return
    converted = []
    for name, other in pairs:
        if name in of_one:
            continue
        if whole.checkpoint.tensors[name].dtype != shards.checkpoint.tensors[other].dtype:
            converted.append((name, other))
        try:
            yield from _of(whole.checkpoint.tensors[name], shards.checkpoint.tensors[other], whole, shards)
        except CheckpointError as error:
            yield Problem("CK302", name, str(error))
    if converted:
        name, other = converted[0]
        one, two = whole.checkpoint.tensors[name].dtype, shards.checkpoint.tensors[other].dtype
        what = f"`{name}`" if len(converted) == 1 else f"`{name}` and {len(converted) - 1} more tensors"
        text = f"{what}: {one}, the shards are {two}; compared after conversion"
        yield Problem("CK302", whole.checkpoint.path.name, text, "note")
    yield from _names(shards, whole.checkpoint, pairs)


def _names(shards: Side, whole: Checkpoint, pairs: list[tuple[str, str]]) -> Iterator[Problem]:
    """Names that one of them lacks. A consolidated file is of the model: what is beside that in the shards is no loss."""
    there = {other for _, other in pairs}
    heads = {_head(name, other) for name, other in pairs}
    saved = shards.checkpoint.tensors
    model = [name for name in saved if any(name.startswith(head) for head in heads if head)] or [
        name for name in saved if "" in heads and not _is_state(name)
    ]
    missing = [name for name in model if name not in there and not _is_tied(name, there, shards)]
    # A learning rate, or the state of a generator, is not what such a file is for.
    weights = [name for name in missing if "float" in saved[name].dtype and saved[name].shape]
    if missing:
        first, *others = weights or missing
        more = f" and {len(others)} more" if others else ""
        text = f"lacks `{first}`{more}, of which there are shards"
        yield Problem("CK302", whole.path.name, text, "error" if weights else "note")
    known = {name for name, _ in pairs}
    unknown = [name for name in whole.tensors if name not in known]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        yield Problem("CK302", whole.path.name, f"has `{unknown[0]}`{more}, of which there are no shards", "note")


def _is_tied(name: str, there: set[str], shards: Side) -> bool:
    """Does another name have the same values? A file of safetensors keeps one of them."""
    mine = _crcs(name, shards)
    shape = shards.checkpoint.tensors[name].shape
    return bool(mine) and any(
        shards.checkpoint.tensors[other].shape == shape and _crcs(other, shards) == mine for other in there
    )


def _crcs(name: str, shards: Side) -> list[int | None]:
    found = [shards.values.get((name, index)) for index in range(len(shards.checkpoint.tensors[name].chunks))]
    crcs = [values.crc for values in found if values is not None]
    return crcs if len(crcs) == len(found) and None not in crcs else []


def _head(name: str, other: str) -> str:
    return other.removesuffix(name) if other.endswith(name) else ""


def _is_state(name: str) -> bool:
    parts = name.split(".")
    return any(part.startswith("optim") or part in ("state", "param_groups") for part in parts[:2])


def _of(whole: Tensor, tensor: Tensor, file: Side, shards: Side) -> Iterator[Problem]:
    if whole.shape != tensor.shape:
        yield Problem("CK302", whole.name, _wrong_shape(whole, tensor, file, shards))
        return
    boxes = list(different(tensor, whole, shards, file))
    if boxes:
        yield Problem("CK302", whole.name, _wrong_values(boxes, whole, tensor, file, shards))


def _wrong_shape(whole: Tensor, tensor: Tensor, file: Side, shards: Side) -> str:
    """Most often it is one rank's part; then say which."""
    apart = [
        d
        for d in range(len(tensor.shape))
        if len(whole.shape) == len(tensor.shape) and whole.shape[d] != tensor.shape[d]
    ]
    text = f"has {list(whole.shape)}, the model {list(tensor.shape)}"
    mine = file.values.get((whole.name, 0))
    if mine is None or len(apart) != 1:
        return text
    held = [
        chunk
        for index, chunk in enumerate(tensor.chunks)
        if chunk.sizes == whole.shape
        and (values := shards.values.get((tensor.name, index))) is not None
        and values.dtype == mine.dtype
        and crc_of(values, (0,) * len(chunk.sizes), chunk.sizes, shards.files)
        == crc_of(mine, (0,) * len(chunk.sizes), chunk.sizes, file.files)
    ]
    if not held:
        return _part_of(whole, tensor, file, shards, apart[0]) or text
    begin, size = held[0].offsets[apart[0]], held[0].sizes[apart[0]]
    what = f"{_lines(apart[0], tensor)} {begin}..{begin + size - 1} of {tensor.shape[apart[0]]}"
    return f"holds only {_of_rank(held[0])}{what}"


def _lines(dimension: int, tensor: Tensor) -> str:
    last = dimension == len(tensor.shape) - 1
    return "rows" if dimension == 0 else "columns" if last else f"dimension {dimension}"


def _part_of(whole: Tensor, tensor: Tensor, file: Side, shards: Side, along: int) -> str:
    """It may be the checkpoint that has a part only: tensor parallelism by hand, saved as if the parts were replicas."""
    mine, part = file.values[(whole.name, 0)], shards.values.get((tensor.name, 0))
    size = tensor.shape[along]
    if part is None or len(tensor.chunks) != 1 or not size or whole.shape[along] % size or part.dtype != mine.dtype:
        return ""
    crc = crc_of(part, (0,) * len(tensor.shape), tensor.shape, shards.files)
    for begin in range(0, whole.shape[along], size):
        offsets = tuple(begin if d == along else 0 for d in range(len(whole.shape)))
        if crc_of(mine, offsets, tensor.shape, file.files) == crc:
            what = f"{_lines(along, whole)} {begin}..{begin + size - 1} of {whole.shape[along]}"
            return f"the checkpoint holds only {what}: one rank's part, taken for a replica (CL402)"
    return ""


def _of_rank(chunk: Chunk) -> str:
    return f"rank {chunk.rank}'s " if chunk.rank is not None else ""


def _wrong_values(boxes: list[tuple[Sizes, Sizes]], whole: Tensor, tensor: Tensor, file: Side, shards: Side) -> str:
    """Which chunk stands in the place of which, if that is what happened."""
    stands: list[int | None] = []
    mine = file.values.get((whole.name, 0))
    crcs: defaultdict[tuple[int, Sizes], list[int]] = defaultdict(list)
    for index, chunk in enumerate(tensor.chunks):
        values = shards.values.get((tensor.name, index))
        if values is not None:
            crcs[(crc_of(values, (0,) * len(chunk.sizes), chunk.sizes, shards.files), chunk.sizes)].append(index)
    for index, chunk in enumerate(tensor.chunks if mine is not None and mine.dtype == tensor.dtype else ()):
        assert mine is not None
        found = crcs.get((crc_of(mine, chunk.offsets, chunk.sizes, file.files), chunk.sizes), [])
        stands.append(index if index in found else found[0] if found else None)
    count = sum(math.prod(sizes) for _, sizes in boxes)
    if not stands or None in stands:
        return f"differs from the shards in {count} of {math.prod(tensor.shape)} elements, first at {list(boxes[0][0])}"
    if len(set(stands)) == 1:
        chunk = tensor.chunks[stands[0] or 0]
        parts = "both halves are" if len(stands) == 2 else f"all {len(stands)} parts are"
        return f"{parts} the same: {_of_rank(chunk) or 'those of the chunk at '}{list(chunk.offsets)}"
    if len(set(stands)) == len(stands):
        order = ", ".join(map(str, stands))
        return f"has the shards in the wrong order: {order}, along {list(tensor.shape)}"
    return f"has shards {', '.join(map(str, stands))} in the places of {', '.join(map(str, range(len(stands))))}"


# ------------------------------------------------------------------------------------------------- a file of each rank


def joined(shards: Side, whole: Checkpoint | None) -> Side:
    """A checkpoint with a file for each rank as one of global tensors, put together as the consolidated file's shapes say."""
    parts: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in shards.checkpoint.tensors:
        plain, _, rank = name.rpartition("@")
        parts[plain].append((int(rank), name))
    lookup = _shapes(parts, whole) if whole is not None else {}
    tensors: dict[str, Tensor] = {}
    values: dict[Key, Values] = {}
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


def _agree(shards: Side, names: list[str]) -> bool:
    return len({tuple(_crcs(name, shards)) for name in names}) == 1


def _of_one_rank(shards: Side, whole: Side) -> Iterator[Problem]:
    """Names under which the ranks hold different values of one shape, and the file those of one of them."""
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
        of = [rank for rank, part in local if _crcs(part, shards) == [crc]]
        if of:
            text = f"holds what rank {of[0]} has; the {len(local)} ranks hold different values of {list(tensor.shape)}"
            problems.append(Problem("CK302", name, text))
    # Statistics of a normalisation may differ between replicas, and one rank's be kept; that all weights do is no such thing.
    few = 2 * len(problems) < len(pairs)
    yield from (replace(problem, severity="note") if few else problem for problem in problems)


def _shapes(parts: dict[str, list[tuple[int, str]]], whole: Checkpoint) -> dict[str, Sizes]:
    plain = Checkpoint(whole.path, "", {name: Tensor(name, "", (), ()) for name in parts})
    return {other: whole.tensors[name].shape for name, other in paired(whole, plain)}


def _dimension(local: list[Sizes], whole: Sizes | None) -> int | None:
    """Along which dimension local tensors make the whole one; None if they are replicas of it.

    A consolidated file that is itself one rank's part says nothing: then the dimension in which the ranks' parts may differ in size
    is taken, or the first.
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
    """In a checkpoint with a file for each rank: names that not all ranks have, or that have another dtype on some."""
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
        more = f" (and {len(absent) - 1} more names)" if len(absent) > 1 else ""
        yield Problem("CK103", name, f"is missing from the file of {rest}{more}", "note")
