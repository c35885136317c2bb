"""Small jobs for runs that have several of them: `several.py MODE`."""

import os
import sys
import time
from pathlib import Path

import torch
import torch.distributed as dist


def leaves() -> None:
    """Rank 1 has an end of its own, and rank 0 waits for it."""
    if dist.get_rank() == 0:
        dist.barrier()
    os._exit(0)


def good() -> None:
    dist.barrier()


def mismatch() -> None:
    """When the other job is on its way."""
    while not Path("busy").exists():
        time.sleep(0.05)
    dist.all_reduce(torch.ones(2)) if dist.get_rank() == 0 else dist.broadcast(torch.ones(2), src=0)


def busy() -> None:
    """Rank 0 is always ahead of rank 1."""
    for _ in range(1000):
        dist.all_reduce(torch.ones(1))
        Path("busy").touch()
        time.sleep(0.1 * dist.get_rank())


def sleeps() -> None:
    if dist.get_rank() == 1:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        time.sleep(100)
    dist.barrier()


def evaluates() -> None:
    """Four processes form other pairs, at other stores, than those that they have trained in."""
    number = dist.get_rank()
    dist.destroy_process_group()
    for name, pairs in (("training", [(0, 1), (2, 3)]), ("evaluation", [(0, 2), (1, 3)])):
        pair = next(pair for pair in pairs if number in pair)
        store = f"file://{os.getcwd()}/{name}{min(pair)}"
        dist.init_process_group("gloo", init_method=store, rank=pair.index(number), world_size=2)
        dist.all_reduce(torch.ones(1))
        # Of one evaluation only.
        if "wrong" in sys.argv and name == "evaluation":
            dist.all_reduce(torch.ones(1), op=dist.ReduceOp.MAX if number == 2 else dist.ReduceOp.SUM)
        dist.destroy_process_group()


if __name__ == "__main__":
    dist.init_process_group("gloo")
    dist.all_reduce(torch.ones(1))
    globals()[sys.argv[1]]()
