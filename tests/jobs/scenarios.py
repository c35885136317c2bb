"""Small real jobs, one function each: `torchrun ... scenarios.py NAME`. All use gloo and end by themselves or hang."""

from __future__ import annotations

import os
import signal
import sys
import time
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import all_reduce as early_all_reduce
from torch.distributed import new_group as early_new_group


def agree() -> None:
    for _ in range(3):
        dist.all_reduce(torch.ones(4))
    dist.barrier()


def agree_only(rank: int, world: int) -> None:
    pass


def outsider(rank: int, world: int) -> None:
    """The last rank serves another group while the others wait for it in a barrier of the default group."""
    training = dist.new_group(list(range(world - 1)), group_desc="training")
    service = dist.new_group([0, world - 1], group_desc="service")
    if rank == world - 1:
        dist.broadcast(torch.zeros(1), src=0, group=service)
    else:
        dist.all_reduce(torch.ones(1), group=training)
        dist.barrier()


def skipped(rank: int, world: int) -> None:
    if rank != 1:
        dist.barrier()


def operation(rank: int, world: int) -> None:
    if rank == 0:
        dist.all_gather_object([None] * world, rank)
    else:
        dist.all_reduce(torch.ones(2))


def shape(rank: int, world: int) -> None:
    dist.all_reduce(torch.ones(4 if rank == 0 else 6))


def dtype(rank: int, world: int) -> None:
    dist.all_reduce(torch.ones(4, dtype=torch.float32 if rank == 0 else torch.int32))


def reduce_op(rank: int, world: int) -> None:
    dist.all_reduce(torch.ones(4), op=dist.ReduceOp.MAX if rank == 0 else dist.ReduceOp.SUM)


def late(rank: int, world: int) -> None:
    """Two ranks disagree already when the third comes, which tells who of them is alone."""
    if rank == 1:
        time.sleep(0.7)
    dist.all_reduce(torch.ones(4), op=dist.ReduceOp.MAX if rank == 0 else dist.ReduceOp.SUM)


def root(rank: int, world: int) -> None:
    dist.broadcast(torch.ones(4), src=1 if rank == 1 else 0)


def splits(rank: int, world: int) -> None:
    sizes = [2] * world
    out = torch.zeros(2 * world if rank else 2 * world + 1)
    expected = sizes if rank else [3, *sizes[1:]]
    dist.all_to_all_single(out, torch.ones(2 * world), expected, sizes)


def exception(rank: int, world: int) -> None:
    if rank == 1:
        raise ValueError("rank 1 cannot read its shard")
    dist.all_reduce(torch.ones(4))


def early_exit(rank: int, world: int) -> None:
    if rank == 1:
        os._exit(0)
    dist.all_reduce(torch.ones(4))


def killed(rank: int, world: int) -> None:
    dist.all_reduce(torch.ones(4))
    if rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def straggler(rank: int, world: int) -> None:
    if rank == 1:
        time.sleep(6)
    dist.barrier()


def crossing(rank: int, world: int) -> None:
    """Two groups with the same members, used in crossing order."""
    one, two = dist.new_group(list(range(world))), dist.new_group(list(range(world)))
    for group in (one, two) if rank == 0 else (two, one):
        dist.barrier(group=group)


def group_order(rank: int, world: int) -> None:
    lists = [[0, 1], [0, 2]]
    for ranks in lists if rank != 1 else lists[::-1]:
        dist.new_group(ranks)


def recv_recv(rank: int, world: int) -> None:
    if rank < 2:
        dist.recv(torch.zeros(1), src=1 - rank)
    dist.barrier()


def backward(rank: int, world: int) -> None:
    """One rank leaves before the backward pass of a DDP model: the others wait inside its C++ reducer."""
    model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(2, 2))
    loss = model(torch.ones(1, 2)).sum()
    if rank != 1:
        loss.backward()


def early_bound(rank: int, world: int) -> None:
    group = early_new_group([0, 1], group_desc="early")
    if rank < 2:
        early_all_reduce(torch.ones(3), group=group)


def uneven_all_gather(rank: int, world: int) -> None:
    """Objects of different size and uneven splits are no divergence."""
    dist.all_gather_object([None] * world, "x" * (100 * rank + 1))
    dist.gather_object(rank, [None] * world if rank == 0 else None, dst=0)
    counts = [rank + 1] * world
    received = [peer + 1 for peer in range(world)]
    dist.all_to_all_single(torch.zeros(sum(received)), torch.ones(sum(counts)), received, counts)
    dist.barrier()


def same_groups_spelt_differently(rank: int, world: int) -> None:
    """Equal groups, whatever the order and form of the argument; a rank that calls on a group it is not in."""
    dist.new_group([0, 1] if rank else [1, 0])
    dist.new_group(None if rank else list(range(world)))
    mine = dist.new_group([rank], use_local_synchronization=True)
    dist.barrier(group=mine)


def not_a_member(rank: int, world: int) -> None:
    """torch warns and does nothing; then a rank is slow, which is no reason to stop the job."""
    dist.all_reduce(torch.ones(1), group=dist.new_group([0, 1]))
    if rank == 1:
        time.sleep(4)
    dist.barrier()


def subset_group(rank: int, world: int) -> None:
    """Only the members make the group; with gloo nobody complains."""
    if rank < 2:
        dist.new_group([0, 1])
    dist.barrier()


def loop_count(rank: int, world: int) -> None:
    for _ in range(3 if rank == 1 else 2):
        dist.all_reduce(torch.ones(2))


def send_send(rank: int, world: int) -> None:
    """Too large to be buffered: each waits for the other to receive."""
    if rank < 2:
        dist.send(torch.ones(20_000_000), dst=1 - rank)
        dist.recv(torch.zeros(20_000_000), src=1 - rank)


def other_tag(rank: int, world: int) -> None:
    """Both sides are there, and speak of different messages."""
    if rank == 0:
        dist.send(torch.ones(20_000_000), dst=1, tag=1)
    elif rank == 1:
        dist.recv(torch.zeros(20_000_000), src=0, tag=2)
    dist.barrier()


def signal_handler(rank: int, world: int) -> None:
    """Rank 1 gets a signal, and its handler wants to save a checkpoint together with the others."""

    def handler(number: int, frame: object) -> None:
        dist.barrier()

    signal.signal(signal.SIGUSR1, handler)
    for step in range(4):
        if rank == 1 and step == 2:
            os.kill(os.getpid(), signal.SIGUSR1)
        dist.all_reduce(torch.ones(2))


def allreduce_reduce(rank: int, world: int) -> None:
    if rank == 0:
        dist.all_reduce(torch.ones(20, 10))
    else:
        dist.reduce(torch.ones(20, 10), dst=0)


def reduce_barrier(rank: int, world: int) -> None:
    if rank == 0:
        dist.reduce(torch.ones(20, 10), dst=0)
    else:
        dist.barrier()


def broadcast_allgather(rank: int, world: int) -> None:
    if rank == 0:
        dist.broadcast(torch.ones(4), src=0)
    else:
        dist.all_gather([torch.zeros(4) for _ in range(world)], torch.ones(4))


def gather_scatter_base(rank: int, world: int) -> None:
    if rank == 0:
        dist.all_gather_into_tensor(torch.zeros(4 * world), torch.ones(4))
    else:
        dist.reduce_scatter_tensor(torch.zeros(4), torch.ones(4 * world))


def dimensions(rank: int, world: int) -> None:
    dist.all_reduce(torch.ones(20, 10, 2) if rank == 0 else torch.ones(20, 10))


def scatter_shape(rank: int, world: int) -> None:
    size = 1 if rank == 0 else 2
    dist.scatter(torch.zeros(size), [torch.ones(size) for _ in range(world)] if rank == 0 else None, src=0)


def silent(rank: int, world: int) -> None:
    """A wrong reduction long ago; everything since has fitted, and the job goes on."""
    dist.all_reduce(torch.ones(4), op=dist.ReduceOp.MAX if rank == 0 else dist.ReduceOp.SUM)
    for _ in range(50):
        dist.all_reduce(torch.ones(4))
        time.sleep(0.2)


def other_host(rank: int, world: int) -> None:
    """The second half of the ranks has another mind; then the job goes on."""
    dist.all_reduce(torch.ones(4), op=dist.ReduceOp.MAX if rank >= world // 2 else dist.ReduceOp.SUM)
    for _ in range(100):
        dist.all_reduce(torch.ones(4))
        time.sleep(0.1)


def groups_in_use(rank: int, world: int) -> None:
    """One group that its members use, and one that nobody does."""
    pair = dist.new_group([0, 1], group_desc="pair")
    teacher = dist.new_group([1, 2], group_desc="teacher")
    if rank in (0, 1):
        for _ in range(2):
            dist.all_reduce(torch.ones(1), group=pair)
    if rank in (1, 2):
        dist.destroy_process_group(teacher)


def main() -> None:
    dist.init_process_group("gloo", timeout=timedelta(seconds=int(os.environ.get("TIMEOUT", "1800"))))
    rank, world = dist.get_rank(), dist.get_world_size()
    agree()
    if "STARTED" in os.environ:
        sys.stderr.write(f"rank {rank} starts at {time.time()}\n")
    globals()[sys.argv[1]](rank, world)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
