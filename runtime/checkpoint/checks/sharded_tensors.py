"""ShardedTensors in torch.save files, as FSDP1 writes them: each rank's shards, and the layout of all shards."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ...quantities import and_more, ranks_text
from ..formats.limits import MOST_DIMENSIONS
from ..model import Chunk, Problem, Tensor
from . import tiling

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..model import Checkpoint, Sizes

#: The state of a ShardedTensor is (its shards here, metadata of all, ...): `NAME.0.N.tensor`, `NAME.1.shards_metadata.N.placement._rank`.
_LOCAL: Final = re.compile(r"(.+)\.0\.(\d+)\.tensor((?:@\d+)?)")
_SHARD: Final = re.compile(r"(.+)\.1\.shards_metadata\.\d+\.shard_offsets((?:@\d+)?)")


@dataclass(slots=True)
class Sharded:
    """A ShardedTensor over all files of a checkpoint: the stored name of each shard by its offsets, and its rank.

    `layouts` holds, for each file, the tensor's size and the offsets and sizes of all shards; `local_sizes` those that
    a file gives for a shard in it.
    """

    shape: Sizes
    layouts: dict[str, tuple[Sizes, set[tuple[Sizes, Sizes]]]] = field(default_factory=dict)
    local_sizes: dict[str, Sizes] = field(default_factory=dict)
    local: dict[Sizes, str] = field(default_factory=dict)
    ranks: dict[Sizes, int] = field(default_factory=dict)


def found(units: Sequence[Checkpoint]) -> dict[str, Sharded]:
    """The ShardedTensors of some parts of a checkpoint by name."""
    tensors: dict[str, Sharded] = {}
    for unit in units:
        for key, item in unit.objects.items():
            match = _SHARD.fullmatch(key)
            if match is None or not isinstance(item.value, tuple):
                continue
            name, tail = match.groups()
            size = unit.objects.get(f"{name}.1.size{tail}")
            place = unit.objects.get(key.replace(".shard_offsets", ".placement._rank"))
            if (
                size is not None
                and isinstance(size.value, tuple)
                and place is not None
                and isinstance(place.value, int)
            ):
                tensor = tensors.setdefault(name, Sharded(size.value))
                tensor.ranks[item.value] = place.value
                sizes = unit.objects.get(key.replace(".shard_offsets", ".shard_sizes"))
                if sizes is not None and isinstance(sizes.value, tuple):
                    tensor.layouts.setdefault(tail, (size.value, set()))[1].add((item.value, sizes.value))
        for key in unit.tensors:
            match = _LOCAL.fullmatch(key)
            if match is not None and match[1] in tensors:
                begin = unit.objects.get(f"{match[1]}.0.{match[2]}.metadata.shard_offsets{match[3]}")
                if begin is not None and isinstance(begin.value, tuple):
                    tensors[match[1]].local[begin.value] = key
                sizes = unit.objects.get(f"{match[1]}.0.{match[2]}.metadata.shard_sizes{match[3]}")
                if sizes is not None and isinstance(sizes.value, tuple):
                    tensors[match[1]].local_sizes[key] = sizes.value
    return {name: tensor for name, tensor in tensors.items() if tensor.local}


def check(units: Sequence[Checkpoint]) -> Iterator[Problem]:
    """CK103 for ranks whose shards are in no file, though those of other ranks are; CK201 and CK202 for shards that do not fit."""
    lost: defaultdict[tuple[int, ...], list[str]] = defaultdict(list)
    for name, tensor in found(units).items():
        absent = {rank for begin, rank in tensor.ranks.items() if begin not in tensor.local}
        if absent:
            lost[tuple(sorted(absent))].append(name)
    for ranks, names in lost.items():
        more = and_more(len(names) - 1, "tensor")
        text = f"no file has the shards of {ranks_text(ranks)}{more}, which the files of the other ranks name"
        yield Problem("CK103", names[0], text)
    for unit in units:
        yield from _fit(unit)


def _fit(unit: Checkpoint) -> Iterator[Problem]:
    """Report shards that do not tile their tensor, and shards whose size in a file differs from the metadata."""
    for name, tensor in found([unit]).items():
        # Files that say the same are of one tensor; stages of a pipeline may each have one of that name.
        for shape, shards in sorted({(size, tuple(sorted(some))) for size, some in tensor.layouts.values()}):
            if max(len(shape), *(len(begin) for begin, _ in shards)) <= MOST_DIMENSIONS:
                chunks = tuple(Chunk(begin, sizes) for begin, sizes in shards)
                yield from tiling.check(Tensor(name, "", shape, chunks))
        for key, sizes in tensor.local_sizes.items():
            if unit.tensors[key].shape != sizes:
                text = f"has {list(unit.tensors[key].shape)} where its file says that the shard has {list(sizes)}"
                yield Problem("CK202", key, text)


def joined(checkpoint: Checkpoint, tensors: Mapping[str, Sharded]) -> dict[str, tuple[Tensor, list[str]]]:
    """Each ShardedTensor as one tensor, with the stored names of its chunks."""
    made = {}
    for name, tensor in tensors.items():
        chunks, names = [], []
        for begin, key in sorted(tensor.local.items()):
            local = checkpoint.tensors[key]
            if len(begin) == len(local.shape) == len(tensor.shape):
                chunks.append(
                    Chunk(begin, local.shape, local.chunks[0].piece, tensor.ranks.get(begin), local.chunks[0].values)
                )
                names.append(key)
        if chunks:
            dtype = checkpoint.tensors[names[0]].dtype
            made[name] = (Tensor(name, dtype, tensor.shape, tuple(chunks)), names)
    return made
