"""Correct jobs that look unusual: `torchrun ... healthy.py NAME[,NAME...] FOLDER`. None of them may be reported or stopped."""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
import torch.distributed.checkpoint as dcp
from torch._subclasses.fake_tensor import FakeTensorMode
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


def gets_slow(rank: int, world: int) -> None:
    for step in range(150):
        if rank == 1 and step >= 30:
            time.sleep(0.02)
        dist.all_reduce(torch.ones(2))
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


def restarted(rank: int, world: int) -> None:
    """The first attempt fails on one rank, which takes its time to leave; torchrun starts all of them again."""
    dist.all_reduce(torch.ones(1))
    if rank == 1 and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        atexit.register(time.sleep, 4)
        raise ValueError("a lost connection to the data")
    dist.barrier()


def groups_of_any_kind(rank: int, world: int) -> None:
    """Ranks that are no plain integers, and ranks that can be read only once."""
    for ranks in (np.arange(2), map(int, ["0", "1"]), list(np.arange(2)), range(2), (0, 1)):
        group = dist.new_group(ranks)
        if rank < 2:
            assert dist.get_world_size(group) == 2
            dist.barrier(group=group)
    dist.barrier()


def late_thread(rank: int, world: int) -> None:
    """Main threads wait for each other only until the other thread of rank 1 comes, which takes its time."""
    group = dist.new_group(list(range(world)))

    def background() -> None:
        if rank == 1:
            time.sleep(3)
        dist.all_reduce(torch.ones(1), group=group)

    thread = threading.Thread(target=background)
    thread.start()
    if rank == 0:
        thread.join()
    dist.barrier()
    thread.join()


def waits_elsewhere(rank: int, world: int) -> None:
    """The handle is waited for in another thread, while the main thread works."""
    work = dist.all_reduce(torch.ones(1), async_op=True) if rank == 0 else None
    if work is not None:
        thread = threading.Thread(target=work.wait)
        thread.start()
        time.sleep(1)
        dist.send(torch.ones(1), dst=1)
        thread.join()
    else:
        dist.recv(torch.ones(1), src=0)
        time.sleep(2)
        dist.all_reduce(torch.ones(1))


def nested(rank: int, world: int) -> None:
    """Rank 0 runs a job of its own in another process, while the others wait for it."""
    if rank == 0:
        code = (
            "import torch.distributed as dist, torch\n"
            f"dist.init_process_group('gloo', init_method='file://{sys.argv[2]}/inner', rank=0, world_size=1)\n"
            "dist.barrier()\ndist.destroy_process_group()\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
        time.sleep(2)
    dist.barrier()


def shrinks(rank: int, world: int) -> None:
    """Rank 0 leaves; the others go on as a smaller job, as other ranks, and one of them is slow."""
    dist.barrier()
    dist.destroy_process_group()
    if rank == 0:
        sys.stdout.flush()
        os._exit(0)
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}/smaller", rank=rank - 1, world_size=world - 1)
    if rank == 1:
        time.sleep(7)
    dist.all_reduce(torch.ones(1))


def open_receive(rank: int, world: int) -> None:
    """Rank 0 would take a message, if there was one."""
    if rank == 0:
        dist.irecv(torch.zeros(1), src=1)
        time.sleep(3)
    else:
        time.sleep(1)
    os._exit(0)


def imagined(rank: int, world: int) -> None:
    """One rank finds out about shapes, as torch.compile does, and communicates with nobody."""
    if rank == 0:
        with FakeTensorMode():
            functional.all_reduce(torch.ones(3), "sum", dist.group.WORLD)
    functional.all_reduce(torch.ones(4), "sum", dist.group.WORLD).sum().item()
    dist.barrier()


def refused(rank: int, world: int) -> None:
    """A call that torch refuses at once, on one rank, and that the job can do without."""
    if rank == 0:
        with contextlib.suppress(RuntimeError, ValueError):
            dist.all_gather_into_tensor(torch.zeros(3), torch.ones(4))
    for _ in range(5):
        dist.all_reduce(torch.ones(1))
        time.sleep(0.3)


def scalars(rank: int, world: int) -> None:
    """As many numbers in other shapes."""
    dist.all_reduce(torch.tensor(1.0) if rank == 0 else torch.zeros(1))
    dist.barrier()


def lets_go(rank: int, world: int) -> None:
    """What the job has let go is gone, also where nobody collects garbage while it runs, as large jobs have it."""
    ended = threading.Event()
    threading.Thread(target=ended.wait).start()
    gc.disable()

    def step() -> weakref.ref[torch.Tensor]:
        tensor = torch.ones(4)
        dist.all_reduce(tensor)
        time.sleep(0.1)
        return weakref.ref(tensor)

    def group() -> weakref.ref[dist.ProcessGroup]:
        pair = dist.new_group()
        for _ in range(8):
            dist.barrier(group=pair)
            time.sleep(0.1)
        dist.destroy_process_group(pair)
        return weakref.ref(pair)

    kept = [*(step() for _ in range(12)), group()]
    deadline = time.monotonic() + 5
    while any(reference() is not None for reference in kept) and time.monotonic() < deadline:
        time.sleep(0.05)
    gc.enable()
    ended.set()
    assert not any(reference() is not None for reference in kept)


def main() -> None:
    if sys.argv[1] == "restarted":
        # Every attempt meets in a place of its own: with the store of torchrun gloo sometimes finds the last one's addresses.
        place = f"file://{sys.argv[2]}{os.environ['TORCHELASTIC_RESTART_COUNT']}"
        rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
        dist.init_process_group("gloo", init_method=place, rank=rank, world_size=world)
    else:
        dist.init_process_group("gloo")
    for name in sys.argv[1].split(","):
        globals()[name](dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
