"""Plain tensors that should be equal on every rank: those of DistributedDataParallel, or synchronised by the job."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import re
import sys
from typing import TYPE_CHECKING, Any, Final

from ...inside import shown

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from .digests import Loss

#: What wrappers add to the names of parameters.
_WRAPPERS: Final = re.compile(r"(?<![^.])(?:_orig_mod|_checkpoint_wrapped_module)\.")
BY_DDP: Final = "by DistributedDataParallel"


def marked(losses: Sequence[Loss]) -> list[Loss]:
    """The losses, with a reason at each plain tensor that is a replica rather than one rank's part.

    It is a replica if two ranks hold different values that one DistributedDataParallel module keeps equal; or, in a job
    without such modules, if all tensors that differ have shapes that the job reduces or broadcasts over these ranks.
    """
    plain = [loss for loss in losses if loss.is_serious and loss.kind == "plain"]
    if not plain:
        return list(losses)
    modules = [(set(ranks), names) for ranks, names in _data_parallel()]
    replicas = {id(loss) for loss in plain for ranks, names in modules if _differs(loss, ranks) and _is_of(loss, names)}
    if replicas:
        # The optimizer numbers its parameters: its state is known by the shapes, and has drifted with them.
        replicas |= {
            id(loss)
            for loss in plain
            for ranks, names in modules
            if _differs(loss, ranks) and loss.variants[0][1].sizes in names.values()
        }
        return [_because(loss, BY_DDP) if id(loss) in replicas else loss for loss in losses]
    seen = shown.current()
    alike = set(seen.alike()) if seen is not None and not modules else set()
    if all(
        any(_differs(loss, ranks) and loss.variants[0][1].sizes == shape for ranks, shape in alike) for loss in plain
    ):
        reason = "by the job itself (which reduces or broadcasts tensors of their shapes over these ranks)"
        return [_because(loss, reason) if loss in plain else loss for loss in losses]
    return list(losses)


def _because(loss: Loss, reason: str) -> Loss:
    return dataclasses.replace(loss, replicated_by=reason)


def _differs(loss: Loss, ranks: Collection[int]) -> bool:
    """Whether two ranks of a group hold different values."""
    return sum(not set(ranks).isdisjoint(some) for some, _ in loss.variants) > 1


def _is_of(loss: Loss, names: dict[str, tuple[int, ...]]) -> bool:
    """Whether a module has a tensor of that name and shape: `model.NAME`, or `optim.state.NAME.exp_avg`."""
    parts = _WRAPPERS.sub("", loss.key[0]).split(".")
    ends = (".".join(parts[i:j]) for i in range(len(parts)) for j in (len(parts), len(parts) - 1))
    return any(names.get(name) == loss.variants[0][1].sizes for name in ends)


def _data_parallel() -> Iterator[tuple[tuple[int, ...], dict[str, tuple[int, ...]]]]:
    """For each DistributedDataParallel module its ranks, and the shapes of its parameters and buffers by name."""
    import torch.distributed as dist

    base = getattr(sys.modules.get("torch.nn.parallel.distributed"), "DistributedDataParallel", None)
    for module in living(base) if base is not None else ():
        tensors = itertools.chain(module.module.named_parameters(), module.module.named_buffers())
        names = {_WRAPPERS.sub("", name): tuple(tensor.shape) for name, tensor in tensors}
        yield tuple(dist.get_process_group_ranks(module.process_group)), names


def living(*bases: type) -> list[Any]:
    """The objects of these classes and of those derived from them that the garbage collector knows."""
    wanted: set[type] = set()
    pending = list(bases)
    while pending:
        kind = pending.pop()
        wanted.add(kind)
        pending += type.__subclasses__(kind)
    return [item for item in gc.get_objects() if type(item) in wanted]
