"""A correct job that communicates in every way the tracer has to see; two ranks. Prints how often each way was used."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel


def plain(rank: int, world: int) -> None:
    tensor = torch.ones(4)
    dist.all_reduce(tensor, op=dist.ReduceOp.MAX)
    dist.broadcast(tensor, src=1)
    dist.reduce(tensor, dst=0)
    pieces = [torch.zeros(4) for _ in range(world)]
    dist.all_gather(pieces, tensor)
    dist.gather(tensor, pieces if rank == 0 else None, dst=0)
    dist.scatter(tensor, pieces if rank == 0 else None, src=0)
    dist.reduce_scatter_tensor(torch.zeros(2), tensor)
    dist.all_to_all_single(torch.zeros(4), tensor)
    dist.monitored_barrier()
    dist.barrier()
    work = dist.all_reduce(tensor, async_op=True)
    assert work is not None
    work.wait()
    with torch.inference_mode():
        dist.all_reduce(torch.ones(2))
    thread = threading.Thread(target=lambda: dist.all_reduce(torch.ones(5)))
    thread.start()
    thread.join()


def objects(rank: int, world: int) -> None:
    dist.all_gather_object([None] * world, {"rank": rank})
    dist.broadcast_object_list([rank], src=0)
    received = [None]
    dist.scatter_object_list(received, [1, 2] if rank == 0 else None, src=0)


def pairs(rank: int) -> None:
    if rank == 0:
        dist.send(torch.ones(3), dst=1)
        dist.recv(torch.zeros(3), src=1)
    else:
        dist.recv(torch.zeros(3), src=0)
        dist.send(torch.ones(3), dst=0)
    ops = [dist.P2POp(dist.isend, torch.ones(2), 1 - rank), dist.P2POp(dist.irecv, torch.zeros(2), 1 - rank)]
    for work in dist.batch_isend_irecv(ops):
        work.wait()


def batched(rank: int) -> None:
    """What a compiled batch_isend_irecv becomes: one operator, whose sends and receives C++ makes."""
    tensors, group = [torch.ones(7), torch.zeros(7)], dist.group.WORLD.group_name
    made = torch.ops._c10d_functional.batch_p2p_ops(["isend", "irecv"], [1 - rank] * 2, [0, 0], tensors, group)
    for tensor in made:
        torch.ops._c10d_functional.wait_tensor(tensor)


def models(folder: Path) -> None:
    mesh = init_device_mesh("cpu", (2,))
    ddp = DistributedDataParallel(torch.nn.Linear(4, 4))
    ddp(torch.ones(2, 4)).sum().backward()
    sharded = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4))
    fully_shard(sharded, mesh=mesh)
    sharded(torch.ones(2, 4)).sum().backward()
    tensor = distribute_tensor(torch.arange(8.0), mesh, [Shard(0)])
    assert tensor.full_tensor().sum() == 28
    value = functional.all_reduce(torch.ones(3), "sum", mesh)
    assert float(value.sum()) == 6
    compiled = torch.compile(lambda part: functional.all_reduce(part * 2, "sum", mesh) + 1, backend="aot_eager")
    assert float(compiled(torch.ones(3)).sum()) == 15
    state = {"tensor": tensor, "model": sharded.state_dict()}
    dcp.save(state, checkpoint_id=folder)
    dcp.load(state, checkpoint_id=folder)


def main() -> None:
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    plain(rank, world)
    objects(rank, world)
    pairs(rank)
    batched(rank)
    models(Path(sys.argv[1]))
    dist.barrier()
    if "FR_DUMP" in os.environ:
        Path(os.environ["FR_DUMP"], f"rank_{rank}").write_bytes(torch._C._distributed_c10d._dump_fr_trace())
    dist.destroy_process_group()
    # Leave without C++'s destructors: after functional collectives torch 2.13 with gloo sometimes ends in "terminate
    # called without an active exception", with and without the tracer.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
