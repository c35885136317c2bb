"""Numbers that the ranks of a group agree on."""

from __future__ import annotations

import torch
import torch.distributed as dist


def mean_over_ranks(value: float, group: dist.ProcessGroup) -> float:
    """Return the mean of every rank's `value`."""
    total = torch.tensor([value], dtype=torch.float64)
    dist.all_reduce(total)
    return total.item() / dist.get_world_size(group)


def true_on_every_rank(condition: bool, group: dist.ProcessGroup) -> bool:
    """Return whether `condition` holds on every rank, so that all of them take the same decision."""
    verdict = torch.tensor([int(condition)])
    dist.all_reduce(verdict, op=dist.ReduceOp.MIN, group=group)
    return bool(verdict.item())
