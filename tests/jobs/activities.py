"""What a rank does for some seconds while others wait for it: `activities.py compiles|device|locked SECONDS TIMEOUT`."""

from __future__ import annotations

import ctypes
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


class OnDevice(torch.Tensor):
    """A number that a device computes when a collective has ended, as on a stream."""

    work: Any

    @classmethod
    def behind(cls, work: Any) -> OnDevice:
        made = torch.Tensor._make_wrapper_subclass(cls, (1,))
        made.work = work
        return made

    @classmethod
    def __torch_dispatch__(cls, function: Any, _: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten._local_scalar_dense.default:
            while not args[0].work.is_completed():
                time.sleep(0.01)
            return 1.0
        return NotImplemented


def device(rank: int, seconds: float) -> None:
    """Each rank waits on its device for a call on one group before it makes the one on the other group."""
    torch.utils.rename_privateuse1_backend("imagined")
    torch._register_device_module("imagined", types.SimpleNamespace(is_initialized=lambda: True))
    groups = [dist.new_group([0, 1], timeout=timedelta(seconds=seconds)) for _ in range(2)]
    first, second = groups if rank == 0 else groups[::-1]
    loss = OnDevice.behind(dist.all_reduce(torch.ones(1), group=first, async_op=True))
    assert loss.item()
    dist.all_reduce(torch.ones(1), group=second)


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
