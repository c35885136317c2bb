"""Weights sent to another program, not saved: check that the trainer and the inference engine hold the same ones.

Each side takes the fingerprint of its weights; `compare` lists by name where they differ. The digest of a tensor is a
sum over its elements (element_digest.py), so the digests of shards add up to the digest of the whole tensor.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from .element_digest import digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import torch

__all__ = ["Comparison", "Difference", "Fingerprint", "Slice", "TensorPrint", "compare", "fingerprint", "total"]

_MASK: Final = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Slice:
    """The position of a plain tensor in a global one: global shape, and offset in each dimension."""

    shape: tuple[int, ...]
    offsets: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TensorPrint:
    """One tensor: global shape, dtype, the digest of the elements that were seen, and their number."""

    shape: tuple[int, ...]
    dtype: str
    digest: int
    elements: int

    @property
    def is_whole(self) -> bool:
        """Whether the number of elements seen equals that of the global tensor."""
        return self.elements == math.prod(self.shape)

    def __add__(self, other: TensorPrint) -> TensorPrint:
        """Combine two disjoint parts of one tensor. Raises ValueError if they are parts of different tensors."""
        if (self.shape, self.dtype) != (other.shape, other.dtype):
            raise ValueError(
                f"{self.dtype}{list(self.shape)} and {other.dtype}{list(other.shape)} belong to different tensors"
            )
        return TensorPrint(self.shape, self.dtype, (self.digest + other.digest) & _MASK, self.elements + other.elements)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The tensors of a model by name, limited to what one or several ranks hold."""

    tensors: Mapping[str, TensorPrint] = field(default_factory=dict)

    def __add__(self, other: Fingerprint) -> Fingerprint:
        """Combine two ranks. Raises ValueError if they hold a tensor with different shapes or dtypes."""
        found = dict(self.tensors)
        for name, tensor in other.tensors.items():
            try:
                found[name] = found[name] + tensor if name in found else tensor
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from None
        return Fingerprint(found)

    def to_json(self) -> str:
        """The fingerprint as JSON text, to be sent or stored; `from_json` reads it."""
        rows = {name: [list(t.shape), t.dtype, f"{t.digest:016x}", t.elements] for name, t in self.tensors.items()}
        return json.dumps({"collectivelint": "weights", "version": 1, "tensors": rows})

    @classmethod
    def from_json(cls, text: str) -> Fingerprint:
        """Read the text that `to_json` wrote. Raises ValueError for any other text."""
        try:
            data = json.loads(text)
            if data["collectivelint"] != "weights" or data["version"] != 1:
                raise ValueError("another kind or version")
            return cls(
                {
                    str(name): TensorPrint(tuple(map(int, shape)), str(dtype), int(digest, 16) & _MASK, int(elements))
                    for name, (shape, dtype, digest, elements) in data["tensors"].items()
                }
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a fingerprint of weights: {error}") from None


@dataclass(frozen=True, slots=True)
class Difference:
    """A name under which two sides hold different tensors; `reason` in words."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """The result of a comparison: `equal` names agree in every bit, `differing` do not, `unread` cannot be compared."""

    equal: tuple[str, ...]
    differing: tuple[Difference, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    unread: tuple[Difference, ...]

    @property
    def agrees(self) -> bool:
        """Whether there is at least one tensor, and all were compared and are equal."""
        return bool(self.equal) and not (self.differing or self.only_first or self.only_second or self.unread)

    def __str__(self) -> str:
        """`290 of 291 tensors agree`, then a line for each that does not."""
        names = len(self.equal) + len(self.differing) + len(self.only_first) + len(self.only_second) + len(self.unread)
        lines = [f"{len(self.equal)} of {names} tensors agree"]
        lines += [f"  {item.name}: {item.reason}" for item in (*self.differing, *self.unread)]
        lines += [f"  {name}: only in the first" for name in self.only_first]
        lines += [f"  {name}: only in the second" for name in self.only_second]
        return "\n".join(lines)


def fingerprint(
    weights: torch.nn.Module | Mapping[str, torch.Tensor],
    *,
    slices: Mapping[str, Slice] | None = None,
    dtype: torch.dtype | None = None,
    rename: Callable[[str], str | None] = lambda name: name,
    group: torch.distributed.ProcessGroup | None = None,
) -> Fingerprint:
    """The fingerprint of a model or state dict: of what this rank holds, or of what all ranks of `group` hold together.

    A DTensor counts with its position in the global tensor, and replicated parts once. A plain tensor counts as a whole
    one, and on the first rank of `group` only, unless `slices` gives its position in a global tensor. `dtype`: floating
    point tensors are converted to it first, for a side that holds another precision. `rename` returns the name that the
    other side uses, or None to leave a tensor out. With `group` this is a collective: every rank of it must call it.

    Raises ValueError for a tensor that is a partial sum, or whose slice does not lie in its global tensor; TypeError
    for one whose elements cannot be read (ShardedTensor: pass its local part with a slice).
    """
    import torch.distributed as dist

    is_first = group is None or dist.get_rank(group) == 0
    found: dict[str, TensorPrint] = {}
    for name, tensor in _tensors(weights):
        renamed = rename(name)
        if renamed is None:
            continue
        try:
            part = _part(tensor, (slices or {}).get(name), dtype, is_first=is_first)
        except (TypeError, ValueError) as error:
            raise type(error)(f"{name}: {error}") from None
        found[renamed] = found[renamed] + part if renamed in found else part
    own = Fingerprint(found)
    if group is None:
        return own
    gathered: list[Any] = [None] * dist.get_world_size(group)
    dist.all_gather_object(gathered, own.to_json(), group=group)
    return total(map(Fingerprint.from_json, gathered))


def total(parts: Iterable[Fingerprint]) -> Fingerprint:
    """The combined fingerprint of several ranks. Raises ValueError if one name has parts of different tensors."""
    found = Fingerprint()
    for part in parts:
        found = found + part
    return found


def compare(first: Fingerprint, second: Fingerprint) -> Comparison:
    """Compare two sides by name, regardless of how each is sharded."""
    equal, differing, unread = [], [], []
    for name in sorted(first.tensors.keys() & second.tensors.keys()):
        one, other = first.tensors[name], second.tensors[name]
        if one.shape != other.shape:
            differing.append(Difference(name, f"shape {list(one.shape)} and {list(other.shape)}"))
        elif one.dtype != other.dtype:
            differing.append(Difference(name, f"{one.dtype} and {other.dtype}"))
        elif not (one.is_whole and other.is_whole):
            seen = f"{one.elements} and {other.elements} of {math.prod(one.shape)} elements"
            unread.append(Difference(name, f"cannot be compared, {seen} were seen"))
        elif one.digest != other.digest:
            differing.append(Difference(name, "other values"))
        else:
            equal.append(name)
    return Comparison(
        tuple(equal),
        tuple(differing),
        tuple(sorted(first.tensors.keys() - second.tensors.keys())),
        tuple(sorted(second.tensors.keys() - first.tensors.keys())),
        tuple(unread),
    )


def _tensors(weights: Any) -> Iterator[tuple[str, torch.Tensor]]:
    import torch

    state = weights.state_dict() if isinstance(weights, torch.nn.Module) else weights
    for name, value in state.items():
        if isinstance(value, torch.Tensor):
            yield name, value


def _part(tensor: Any, where: Slice | None, dtype: torch.dtype | None, *, is_first: bool) -> TensorPrint:
    """The fingerprint of the part of a tensor that this rank holds."""
    from torch.distributed.tensor import DTensor

    tensor = tensor.detach()
    counts = True
    if isinstance(tensor, DTensor):
        where, counts = _place(tensor)
        tensor = tensor.to_local()
    elif where is None:
        where, counts = Slice(tuple(tensor.shape), (0,) * tensor.dim()), is_first
    if dtype is not None and tensor.is_floating_point():
        tensor = tensor.to(dtype)
    sizes = tuple(tensor.shape)
    if not len(sizes) == len(where.offsets) == len(where.shape) or any(
        offset < 0 or offset + size > whole
        for size, offset, whole in zip(sizes, where.offsets, where.shape, strict=True)
    ):
        raise ValueError(f"a part of shape {list(sizes)} at {list(where.offsets)} is not inside {list(where.shape)}")
    name = str(tensor.dtype).removeprefix("torch.")
    if not counts:
        return TensorPrint(where.shape, name, 0, 0)
    return TensorPrint(where.shape, name, digest(tensor, where.shape, where.offsets), tensor.numel())


def _place(tensor: Any) -> tuple[Slice, bool]:
    """The position of a DTensor's local part, and whether this rank counts it: the first of its replicas does."""
    from torch.distributed.tensor import Replicate

    from .inside.torch_api import offsets_of

    if any(placement.is_partial() for placement in tensor.placements):
        raise ValueError("it is a partial sum, no rank holds its values")
    offsets = offsets_of(tensor)
    coordinates = tensor.device_mesh.get_coordinate()
    if coordinates is None:
        return Slice(tuple(tensor.shape), (0,) * tensor.dim()), False
    copies = (
        coordinate
        for coordinate, placement in zip(coordinates, tensor.placements, strict=True)
        if isinstance(placement, Replicate)
    )
    return Slice(tuple(tensor.shape), offsets), not any(copies)
