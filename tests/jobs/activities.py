"""What a rank does for some seconds while others wait for it: `activities.py compiles|device|locked SECONDS TIMEOUT`."""

from __future__ import annotations

import ctypes
import functools
import sys
import time
import types
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


def compiles(rank: int, seconds: float) -> None:
    """Rank 1 gets another shape in the second step, and compiles once more."""
    compiled: list[int] = []

    def backend(module: torch.fx.GraphModule, _: Any) -> Any:
        time.sleep(seconds if compiled else 0)
        compiled.append(1)
        return module

    step = torch.compile(lambda batch: batch + 1, backend=backend, dynamic=False)
    for size in (2, 3 if rank == 1 else 2):
        step(torch.ones(size))
        dist.all_reduce(torch.ones(1))


def device(rank: int, seconds: float) -> None:
    """Each rank waits, in C and with a device there, before it makes the call on the group that the other one has used."""
    torch.utils.rename_privateuse1_backend("imagined")
    torch._register_device_module("imagined", types.SimpleNamespace(is_initialized=lambda: True))
    groups = [dist.new_group([0, 1]) for _ in range(2)]
    first, second = groups if rank == 0 else groups[::-1]
    work = dist.all_reduce(torch.ones(1), group=first, async_op=True)
    loss = types.SimpleNamespace(item=functools.partial(ctypes.CDLL(None).usleep, int(seconds * 1e6)))
    loss.item()
    dist.all_reduce(torch.ones(1), group=second)
    work.wait()


def locked(rank: int, seconds: float) -> None:
    if rank == 1:
        # The interpreter's lock is kept.
        ctypes.PyDLL(None).usleep(int(seconds * 1e6))
    dist.barrier()


def main() -> None:
    scenario, seconds, timeout = sys.argv[1:]
    dist.init_process_group("gloo", timeout=timedelta(seconds=float(timeout)))
    globals()[scenario](dist.get_rank(), float(seconds))
    dist.destroy_process_group()


main()
