"""Groups and handles end when the job lets go of them; the tracer keeps none."""

from __future__ import annotations

import gc
import sys
import weakref

import torch
import torch.distributed as dist


def main() -> None:
    dist.init_process_group("gloo")
    group = dist.new_group([0, 1])
    dist.all_reduce(torch.ones(1), group=group)
    tensor = torch.ones(1)
    work = dist.all_reduce(tensor, group=group, async_op=True)
    assert work is not None
    work.wait()
    seen = [weakref.ref(group), weakref.ref(work), weakref.ref(tensor)]
    del tensor
    dist.destroy_process_group(group)
    del group, work
    gc.collect()
    assert [ref() for ref in seen] == [None, None, None], seen
    again = [dist.new_group([0, 1]) for _ in range(3)]
    for each in again:
        dist.barrier(group=each)
    if dist.get_rank() == 0:
        sys.stdout.write("collected\n")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
