"""Ranks that are children of multiprocessing, not of torchrun: `python spawned.py FILE [agree|skip|raise|leave]`."""

from __future__ import annotations

import os
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def rank_main(rank: int, world: int, file: str, what: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=world)
    dist.all_reduce(torch.ones(1))
    if what == "raise" and rank == 1:
        raise ValueError("no such shard")
    if what == "leave" and rank == 1:
        os._exit(3)
    if what != "skip" or rank != 1:
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(rank_main, (3, sys.argv[1], sys.argv[2]), nprocs=3)
