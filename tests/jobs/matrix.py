"""Jobs for every version of torch: `torchrun --nproc-per-node 2 matrix.py correct|operation|deadlock FOLDER`.

`# traced: OP` stands where a call of that name has to be recorded, with `from VERSION` where older ones do not make it; benchmarks/torch_matrix.py compares. What a version does not have
is left out.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel

try:
    from torch.distributed.fsdp import fully_shard
    from torch.distributed.tensor import Shard, distribute_tensor
except ImportError:  # before 2.6
    from torch.distributed._composable.fsdp import fully_shard
    from torch.distributed._tensor import Shard, distribute_tensor


def plain(rank: int) -> None:
    tensor = torch.ones(4)
    pieces = [torch.zeros(4), torch.zeros(4)]
    dist.all_reduce(tensor)  # traced: all_reduce
    dist.broadcast(tensor, src=1)  # traced: broadcast
    dist.reduce(tensor, dst=0)  # traced: reduce
    dist.all_gather(pieces, tensor)  # traced: all_gather
    dist.gather(tensor, pieces if rank == 0 else None, dst=0)  # traced: gather
    dist.scatter(tensor, pieces if rank == 0 else None, src=0)  # traced: scatter
    dist.reduce_scatter_tensor(torch.zeros(2), tensor)  # traced: reduce_scatter_tensor
    dist.all_gather_into_tensor(torch.zeros(8), tensor)  # traced: all_gather_into_tensor
    dist.all_to_all_single(torch.zeros(4), tensor)  # traced: all_to_all_single
    dist.all_reduce_coalesced([tensor, tensor])  # traced: all_reduce_coalesced
    dist.monitored_barrier()  # traced: monitored_barrier
    dist.barrier()  # traced: barrier
    dist.all_gather_object([None, None], rank)  # traced: all_gather
    dist.all_reduce(tensor, async_op=True).wait()  # traced: all_reduce
    with torch.inference_mode():
        dist.all_reduce(torch.ones(2))  # traced: all_reduce
    sent, received = dist.P2POp(dist.isend, tensor, 1 - rank), dist.P2POp(dist.irecv, torch.zeros(4), 1 - rank)
    for work in dist.batch_isend_irecv([sent, received]):  # traced: send, recv
        work.wait()


def models(folder: Path) -> None:
    mesh = init_device_mesh("cpu", (2,))
    torch.manual_seed(0)
    ddp = DistributedDataParallel(torch.nn.Linear(4, 4))
    ddp(torch.ones(2, 4)).sum().backward()  # traced: all_reduce
    sharded = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    tensor = distribute_tensor(torch.arange(8.0), mesh, [Shard(0)])  # traced: scatter
    assert tensor.full_tensor().sum() == 28  # traced: all_gather_into_tensor
    reduced = functional.all_reduce(torch.ones(3), "sum", mesh)  # traced: all_reduce
    assert float(reduced.sum()) == 6
    if shards_on_cpu():
        fully_shard(sharded, mesh=mesh)
        sharded(torch.ones(2, 4)).sum().backward()  # traced: all_gather_into_tensor from 2.6
    dcp.save({"tensor": tensor, "model": sharded.state_dict()}, checkpoint_id=folder)  # traced: all_gather


def shards_on_cpu() -> bool:
    """Before 2.6 FSDP2 needs a GPU."""
    return tuple(map(int, torch.__version__.split(".")[:2])) >= (2, 6)


def main() -> None:
    scenario, folder = sys.argv[1:]
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    if scenario == "correct":
        plain(rank)
        models(Path(folder))
        dist.barrier()
    elif scenario == "operation":
        if rank == 0:
            dist.all_reduce(torch.ones(2))
        else:
            dist.broadcast(torch.ones(2), src=1)
    else:
        group = dist.new_group([0, 1])
        dist.barrier(group if rank == 0 else None)
    dist.destroy_process_group()
    # Without C++'s destructors: after functional collectives some versions end in "terminate called".
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
