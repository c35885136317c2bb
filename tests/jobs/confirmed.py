"""A job for `collectivelint confirm`: one call that only one rank makes, one that all make, one that nobody reaches, one that only the run knows."""

from __future__ import annotations

import sys

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel


def save() -> None:
    dist.barrier()


def never() -> None:
    dist.barrier()


def train() -> None:
    # A model that outlives its group hangs torch 2.13 now and then: the reducer ends gloo's threads with the interpreter locked.
    model = DistributedDataParallel(torch.nn.Linear(2, 2))
    for _ in range(3):
        model(torch.ones(1, 2)).sum().backward()
        dist.all_reduce(torch.ones(1))
    getattr(dist, "_".join(("all", "reduce")))(torch.ones(1))


def main() -> None:
    dist.init_process_group("gloo")
    train()
    if len(sys.argv) > 5:
        never()
    if dist.get_rank() == 1:
        save()
    dist.destroy_process_group()


main()
