"""Finds tensors in a file that are one rank's part of a sharded tensor, by comparing with live tensors.

A file of torch.save or safetensors has no information about other ranks, but the memory it is written from has: it is
the local shard of a DTensor, or was contributed to an all_gather; or it has the same values as such a tensor, as a copy
on the CPU does.
"""

from __future__ import annotations

import math
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from ...inside import shown
from ...quantities import ranks_text
from . import torch_api
from .replicas import living

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a process may spend on looking through its objects: so many seconds, and so much of its time.
_SECONDS: Final = 0.5
_SHARE: Final = 0.01
#: So many pairs of tensors are compared for one file, and so many bytes of those that begin alike.
_MOST_COMPARED: Final = 64
_MOST_BYTES: Final = 1 << 28


#: Address and shape.
_Place: TypeAlias = "tuple[int, tuple[int, ...]]"


class Part(NamedTuple):
    """A description of the whole that a tensor is one rank's part of, and how many ranks hold a part."""

    of: str
    holders: int


class Search:
    """Searches for parts, with a limit on the total time in a process."""

    def __init__(self) -> None:
        """Start the time limit."""
        self._begun, self._spent = time.monotonic(), 0.0

    def parts(self, tensors: Mapping[str, Any]) -> dict[str, Part]:
        """The plain tensors that are parts, by name; {} once searching has taken too long."""
        begun = time.monotonic()
        if self._spent > _SECONDS + _SHARE * (begun - self._begun):
            return {}
        try:
            return _parts({name: tensor for name, tensor in tensors.items() if _is_plain(tensor)})
        finally:
            self._spent += time.monotonic() - begun


def part_of(tensor: Any) -> Part | None:
    """What a DTensor or ShardedTensor of this rank is a part of; None if it is whole."""
    mesh, placements = getattr(tensor, "device_mesh", None), getattr(tensor, "placements", None)
    if mesh is not None and placements is not None:
        shape = tuple(tensor.shape)
        split = [(mesh.size(d), placement) for d, placement in enumerate(placements) if not placement.is_replicate()]
        holders = math.prod(_holders(count, placement, shape) for count, placement in split)
        # Of a tensor with few rows the first rank may have all.
        has_all = tuple(torch_api.local_part(tensor).shape) == shape and not any(p.is_partial() for _, p in split)
        text = ", ".join(map(repr, placements))
        return None if holders < 2 or has_all else Part(f"a DTensor of {list(shape)}, {text}", holders)
    if hasattr(tensor, "local_shards") and callable(getattr(tensor, "metadata", None)):
        holders = len({shard.placement.rank() for shard in tensor.metadata().shards_metadata})
        return Part(f"a ShardedTensor of {list(tensor.size())}", holders) if holders > 1 else None
    return None


def _holders(count: int, placement: Any, shape: tuple[int, ...]) -> int:
    """How many of `count` ranks get a part: 5 rows make parts of 2, 2 and 1 on 4 ranks."""
    dimension = getattr(placement, "dim", None)
    if dimension is None or count < 2:
        return count
    rows: int = shape[dimension]
    return math.ceil(rows / max(1, math.ceil(rows / count)))


def _parts(tensors: Mapping[str, Any]) -> dict[str, Part]:
    seen = shown.current()
    gathered = _gathered(seen) if seen is not None else {}
    dtensor = getattr(sys.modules.get("torch.distributed.tensor"), "DTensor", None)
    if not tensors or (dtensor is None and not gathered):
        return {}
    import torch

    places: dict[_Place, Part] = {}
    alive: defaultdict[tuple[Any, ...], list[tuple[Any, Part]]] = defaultdict(list)
    for item in living(torch.Tensor):
        is_shard = dtensor is not None and isinstance(item, dtensor)
        local = torch_api.local_part(item) if is_shard else item
        if not _is_plain(local):
            continue
        place = local.data_ptr(), tuple(local.shape)
        part = part_of(item) if is_shard else gathered.get(place)
        if part is not None and place not in places:
            places[place] = part
            alive[place[1], local.dtype].append((local, part))
    comparison = _Comparison()
    found: dict[str, Part] = {}
    for name, tensor in tensors.items():
        part = places.get((tensor.data_ptr(), tuple(tensor.shape)))
        if part is None:
            candidates = alive.get((tuple(tensor.shape), tensor.dtype), ())
            part = next((of for local, of in candidates if comparison.are_equal(tensor, local)), None)
        if part is not None:
            found[name] = part
    return found


def _gathered(seen: shown.Shown) -> dict[_Place, Part]:
    """What this rank has contributed to an all_gather, except tensors that the ranks all-reduce or broadcast."""
    alike = set(seen.alike())
    return {
        (address, shape): Part(f"what {ranks_text(ranks)} gather from each other", len(ranks))
        for (address, shape), ranks in seen.gathered().items()
        if (ranks, tuple(shape)) not in alike
    }


def _is_plain(tensor: Any) -> bool:
    """Whether it may be a weight with values at its address; FSDP frees its parameters' memory between uses."""
    import torch

    return (
        type(tensor) in (torch.Tensor, torch.nn.Parameter)
        and tensor.layout is torch.strided
        and tensor.dtype in (torch.float32, torch.float16, torch.bfloat16, torch.float64)
        and not tensor.is_meta
        and tensor.numel() > 1
        and bool(tensor.data_ptr())
        and tensor.untyped_storage().nbytes() >= (tensor.storage_offset() + tensor.numel()) * tensor.element_size()
    )


class _Comparison:
    """Compares the values of pairs of tensors, up to a limit of pairs and bytes."""

    def __init__(self) -> None:
        self._pairs, self._bytes = _MOST_COMPARED, _MOST_BYTES

    def are_equal(self, one: Any, other: Any) -> bool:
        """Whether two tensors of one shape and dtype have equal values; False if constant, like fresh state."""
        import torch

        self._pairs -= 1
        if self._pairs < 0 or not bool(torch.equal(_head(one), _head(other))):
            return False
        self._bytes -= one.numel() * one.element_size()
        if self._bytes < 0:
            return False
        one = one.detach().cpu()
        return bool(torch.equal(one, other.detach().cpu())) and not bool((one == one.flatten()[0]).all())


def _head(tensor: Any) -> Any:
    """Up to 64 elements of the first row, on the CPU."""
    tensor = tensor.detach()
    while tensor.dim() > 1:
        tensor = tensor[0]
    return tensor[:64].cpu()
