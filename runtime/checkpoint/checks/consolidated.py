"""CK302: a consolidated file has to equal the shards put together.

Common faults have a message of their own: one rank's part under the name of the whole, one part twice, or the parts in
the wrong order.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from ...quantities import and_more
from ..model import Checkpoint, CheckpointError, Chunk, Problem, Tensor, Unread
from . import flat_groups
from .diff import count, incomparable, paired, placeholder
from .rank_files import crcs, joined, of_one_rank
from .slices import crc_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..files import Side
    from ..model import Sizes
    from .counting import Count


def check(shards: Side, whole: Side, unread: list[Unread]) -> Iterator[Problem]:
    """Compare shards with the consolidated file made from them; what cannot be compared is added to `unread`."""
    of_one: set[str] = set()
    made = flat_groups.rebuilt(shards)
    if made is not None:
        shards = made
    elif shards.checkpoint.local:
        parts = shards
        shards = joined(parts, whole.checkpoint)
        found = list(of_one_rank(parts, whole))
        of_one = {problem.where for problem in found}
        yield from found
    pairs = paired(whole.checkpoint, shards.checkpoint, (whole, shards))
    if not pairs:
        name = whole.checkpoint.path.name
        flat = next((n for n in shards.checkpoint.tensors if n.endswith("flat_param")), "")
        text = f"cannot be compared: {incomparable(whole.checkpoint, shards.checkpoint)}"
        if flat:
            unread.append(Unread(name, text))
        else:
            yield Problem("CK302", name, text)
        return
    empty = [
        (name, text)
        for name, other in pairs
        if (text := placeholder(whole.checkpoint.tensors[name], shards.checkpoint.tensors[other]))
    ]
    if empty:
        text = f"{len(empty)} of {len(pairs)} tensors cannot be compared: `{empty[0][0]}` is {empty[0][1]}"
        unread.append(Unread(whole.checkpoint.path.name, text))
    of_one |= {name for name, _ in empty}
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
        more = and_more(len(converted) - 1, "tensor")
        text = f"`{name}`{more}: {one}, the shards are {two}; compared after conversion"
        yield Problem("CK302", whole.checkpoint.path.name, text, "note")
    yield from _names(shards, whole.checkpoint, pairs)


def _names(shards: Side, whole: Checkpoint, pairs: list[tuple[str, str]]) -> Iterator[Problem]:
    """Report names that only one side has. A consolidated file may lack what is not part of the model."""
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
        more = and_more(len(others), "tensor")
        text = f"lacks `{first}`{more}, of which there are shards"
        yield Problem("CK302", whole.path.name, text, "error" if weights else "note")
    known = {name for name, _ in pairs}
    unknown = [name for name in whole.tensors if name not in known]
    if unknown:
        more = and_more(len(unknown) - 1, "tensor")
        yield Problem("CK302", whole.path.name, f"has `{unknown[0]}`{more}, of which there are no shards", "note")


def _is_tied(name: str, there: set[str], shards: Side) -> bool:
    """Whether another name has the same values: safetensors keeps only one name of tied weights."""
    mine = crcs(name, shards)
    shape = shards.checkpoint.tensors[name].shape
    return bool(mine) and any(
        shards.checkpoint.tensors[other].shape == shape and crcs(other, shards) == mine for other in there
    )


def _head(name: str, other: str) -> str:
    return other.removesuffix(name) if other.endswith(name) else ""


def _is_state(name: str) -> bool:
    parts = name.split(".")
    return any(part.startswith("optim") or part in ("state", "param_groups") for part in parts[:2])


def _of(whole: Tensor, tensor: Tensor, file: Side, shards: Side) -> Iterator[Problem]:
    if whole.shape != tensor.shape:
        yield Problem("CK302", whole.name, _wrong_shape(whole, tensor, file, shards))
        return
    found = count(tensor, whole, shards, file)
    if found is not None:
        yield Problem("CK302", whole.name, _wrong_values(found, whole, tensor, file, shards))


def _wrong_shape(whole: Tensor, tensor: Tensor, file: Side, shards: Side) -> str:
    """The message for a wrong shape; if the file holds one rank's part, it says which."""
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
    """The message if the checkpoint, not the file, holds one part only: manual tensor parallelism saved as replicas."""
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


def _wrong_values(found: Count, whole: Tensor, tensor: Tensor, file: Side, shards: Side) -> str:
    """The message for wrong values; if chunks are duplicated or swapped, it says which."""
    stands: list[int | None] = []
    mine = file.values.get((whole.name, 0))
    by_crc: defaultdict[tuple[int, Sizes], list[int]] = defaultdict(list)
    for index, chunk in enumerate(tensor.chunks):
        values = shards.values.get((tensor.name, index))
        if values is not None:
            by_crc[(crc_of(values, (0,) * len(chunk.sizes), chunk.sizes, shards.files), chunk.sizes)].append(index)
    for index, chunk in enumerate(tensor.chunks if mine is not None and mine.dtype == tensor.dtype else ()):
        assert mine is not None
        same = by_crc.get((crc_of(mine, chunk.offsets, chunk.sizes, file.files), chunk.sizes), [])
        stands.append(index if index in same else same[0] if same else None)
    if not stands or None in stands:
        return f"is not what the shards hold: {found.text(math.prod(tensor.shape))}"
    if len(set(stands)) == 1:
        chunk = tensor.chunks[stands[0] or 0]
        parts = "both halves are" if len(stands) == 2 else f"all {len(stands)} parts are"
        return f"{parts} the same: {_of_rank(chunk) or 'those of the chunk at '}{list(chunk.offsets)}"
    if len(set(stands)) == len(stands):
        order = ", ".join(map(str, stands))
        return f"has the shards in the wrong order: {order}, along {list(tensor.shape)}"
    return f"has shards {', '.join(map(str, stands))} in the places of {', '.join(map(str, range(len(stands))))}"


# ------------------------------------------------------------------------------------------------- a file of each rank
