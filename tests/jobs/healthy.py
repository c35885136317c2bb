"""Correct jobs that look unusual: `torchrun ... healthy.py NAME`. None of them may be reported or stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.device_mesh import init_device_mesh
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader


def mesh_2d(rank: int, world: int) -> None:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    for name in ("dp", "tp"):
        dist.all_reduce(torch.ones(2), group=mesh.get_group(name))
    dist.new_subgroups(2)
    group, _ = dist.new_subgroups_by_enumeration([[0, 3], [1, 2]])
    dist.broadcast(torch.ones(1), group_src=0, group=group)
    if mesh.get_local_rank("tp") == 0:
        # Only one of the data-parallel groups has something to reduce.
        dist.all_reduce(torch.ones(3), group=mesh.get_group("dp"))


def again(rank: int, world: int) -> None:
    dist.all_reduce(torch.ones(1), group=dist.new_group(list(range(world))))
    dist.destroy_process_group()
    os.environ["MASTER_PORT"] = str(int(os.environ["MASTER_PORT"]) + 1)
    dist.init_process_group("gloo", rank=rank, world_size=world, init_method=f"file://{sys.argv[2]}")
    dist.all_reduce(torch.ones(2))
    dist.barrier()


def asynchronous(rank: int, world: int) -> None:
    works = [dist.all_reduce(torch.ones(2), async_op=True) for _ in range(3)]
    if rank == 1:
        time.sleep(2.5)
    for work in reversed(works):
        assert work is not None
        work.wait()
    dist.all_reduce(torch.ones(2), async_op=True)  # nobody waits for this one
    dist.barrier()


def pipeline(rank: int, world: int) -> None:
    for step in range(3):
        tensor = torch.full((2,), float(step))
        if rank:
            dist.recv(tensor, src=rank - 1, tag=step)
        time.sleep(0.4 * rank)
        if rank < world - 1:
            dist.send(tensor, dst=rank + 1, tag=step)
    ops = [dist.P2POp(dist.irecv, torch.zeros(1), (rank - 1) % world)]
    ops.insert(rank % 2, dist.P2POp(dist.isend, torch.ones(1), (rank + 1) % world))
    for work in dist.batch_isend_irecv(ops):
        work.wait()


def loaders(rank: int, world: int) -> None:
    for context in ("fork", "spawn"):
        loader = DataLoader(list(range(8)), batch_size=2, num_workers=1, multiprocessing_context=context)
        for batch in loader:
            dist.all_reduce(batch)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    dist.barrier()


def uneven_work(rank: int, world: int) -> None:
    for step in range(4):
        time.sleep(1.5 if step % world == rank else 0)
        dist.all_reduce(torch.ones(1))


def uneven_minutes(rank: int, world: int) -> None:
    """Each rank in turn keeps the others waiting, for two minutes in all."""
    for step in range(12):
        time.sleep(10 if step % world == rank else 0)
        dist.all_reduce(torch.ones(1))


def ddp(rank: int, world: int) -> None:
    model = DistributedDataParallel(torch.nn.Linear(4, 4), find_unused_parameters=True)
    with model.no_sync():
        model(torch.ones(1, 4)).sum().backward()
    model(torch.ones(1, 4)).sum().backward()
    state = {"weight": model.module.weight.detach(), "rank": torch.tensor(rank)}
    dcp.async_save(state, checkpoint_id=os.path.join(sys.argv[2], "checkpoint")).result()
    dist.monitored_barrier()


def threads(rank: int, world: int) -> None:
    """Two threads with groups of their own; rank 1's second thread is late, while its main thread waits for rank 0."""
    first, second = dist.new_group(list(range(world))), dist.new_group(list(range(world)))

    def background() -> None:
        if rank == 1:
            time.sleep(3.5)
        for _ in range(2):
            dist.all_reduce(torch.ones(1), group=second)

    dist.all_reduce(torch.ones(1), group=second)
    thread = threading.Thread(target=background)
    thread.start()
    if rank == 0:
        # Only after the other thread is through: until then rank 1 waits in `first`, and this rank in `second`.
        thread.join()
    dist.all_reduce(torch.ones(1), group=first)
    thread.join()


def stopped(rank: int, world: int) -> None:
    """Rank 1 is stopped for some seconds and continued, while the others wait for it."""
    if rank == 1:
        subprocess.Popen(["sh", "-c", f"sleep {os.environ.get('SECONDS_STOPPED', '5')}; kill -CONT {os.getpid()}"])
        os.kill(os.getpid(), signal.SIGSTOP)
    dist.barrier()


def signals(rank: int, world: int) -> None:
    """A handler that interrupts the recording of calls, and calls itself, on a group of its rank alone."""
    mine = [dist.new_group([other]) for other in range(world)][rank]
    signal.signal(signal.SIGALRM, lambda *_: dist.barrier(group=mine))
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)
    for _ in range(1500):
        dist.all_reduce(torch.ones(1))
    signal.setitimer(signal.ITIMER_REAL, 0)
    dist.barrier()


def coalesced(rank: int, world: int) -> None:
    dist.all_reduce_coalesced([torch.ones(2), torch.ones(3)])
    dist.barrier()


def main() -> None:
    dist.init_process_group("gloo")
    globals()[sys.argv[1]](dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()
    if sys.argv[1] == "asynchronous":
        sys.exit(0)


if __name__ == "__main__":
    main()
