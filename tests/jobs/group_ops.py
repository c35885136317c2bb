"""Every operation of GroupOps on a group of ranks 1, 2 and 3 of four, each with its result checked."""

from __future__ import annotations

import torch
import torch.distributed as dist
from collectivelint.runtime import GroupOps

MEMBERS = [1, 2, 3]


def main() -> None:
    dist.init_process_group("gloo")
    group = dist.new_group(MEMBERS)
    if dist.get_rank() not in MEMBERS:
        try:
            GroupOps(group)
        except ValueError as error:
            print(f"outside: {error}")  # noqa: T201  # the test reads it
        else:
            raise AssertionError("a rank outside made a GroupOps")
    else:
        exercise(GroupOps(group))
    dist.barrier(dist.group.WORLD)
    dist.destroy_process_group()


def exercise(ops: GroupOps) -> None:
    rank, size = ops.rank, ops.size
    assert (ops.ranks, size, ops.is_leader, ops.backend) == (MEMBERS, 3, rank == 0, "gloo")
    assert "gloo" in ops.backend_config
    assert [ops.group_rank(ops.global_rank(n)) for n in range(size)] == [0, 1, 2]
    mine = torch.tensor([float(rank)])

    ops.barrier()
    ops.monitored_barrier()
    for src in range(size):
        sent = mine.clone()
        ops.broadcast(sent, src)
        assert sent.item() == src
    total = mine.clone()
    ops.all_reduce(total)
    assert total.item() == 3
    work = ops.all_reduce(total, dist.ReduceOp.MAX, async_op=True)
    assert work is not None
    work.wait()
    several = [mine.clone(), mine + 1]
    ops.all_reduce_coalesced(several)
    assert [item.item() for item in several] == [3, 6]
    reduced = mine.clone()
    ops.reduce(reduced, dst=2)
    assert rank != 2 or reduced.item() == 3
    everyone = [torch.zeros(1) for _ in range(size)]
    ops.all_gather(everyone, mine)
    assert [item.item() for item in everyone] == [0, 1, 2]
    joined = torch.zeros(size)
    ops.all_gather_into_tensor(joined, mine)
    assert joined.tolist() == [0, 1, 2]
    lists = [[torch.zeros(1)] for _ in range(size)]
    ops.all_gather_coalesced(lists, [mine])
    assert [item.item() for (item,) in lists] == [0, 1, 2]
    ops.gather(mine, everyone if rank == 1 else None, dst=1)
    part = torch.zeros(1)
    ops.scatter(part, [mine + n for n in range(size)] if rank == 1 else None, src=1)
    assert part.item() == 1 + rank
    ops.reduce_scatter(part, [mine + n for n in range(size)])
    assert part.item() == 3 + 3 * rank
    ops.reduce_scatter_tensor(part, torch.arange(3.0))
    assert part.item() == 3 * rank
    if hasattr(dist, "all_gather_single"):
        ops.all_gather_single(joined, mine)
        ops.reduce_scatter_single(part, torch.arange(3.0))
        assert (joined.tolist(), part.item()) == ([0, 1, 2], 3 * rank)
    got = [torch.zeros(1) for _ in range(size)]
    ops.all_to_all(got, [mine * 10 + n for n in range(size)])
    assert [item.item() for item in got] == [n * 10 + rank for n in range(size)]
    exchanged = torch.zeros(size)
    ops.all_to_all_single(exchanged, mine * 10 + torch.arange(3.0), [1, 1, 1], [1, 1, 1])
    assert exchanged.tolist() == [n * 10 + rank for n in range(size)]

    names: list[object] = [None] * size
    ops.all_gather_object(names, f"rank {rank}")
    assert names == ["rank 0", "rank 1", "rank 2"]
    ops.gather_object(rank, names if rank == 2 else None, dst=2)
    assert rank != 2 or names == [0, 1, 2]
    own: list[object] = [None]
    ops.scatter_object_list(own, ["a", "b", "c"] if rank == 1 else None, src=1)
    assert own == ["abc"[rank]]
    told: list[object] = [rank]
    ops.broadcast_object_list(told, src=2)
    assert told == [2]

    after, before = (rank + 1) % size, (rank - 1) % size
    if rank == 0:
        ops.send(mine, after)
        assert ops.recv(part, before) == before
        ops.send_object_list(["x"], after)
    else:
        assert ops.recv(part, before) == before
        ops.send(mine, after)
        if rank == 1:
            assert ops.recv_object_list(told, before) == before
            assert told == ["x"]
    assert part.item() == before
    works = [ops.isend(mine, after), ops.irecv(part, before)]
    works += dist.batch_isend_irecv([ops.p2p_op(dist.isend, mine, after), ops.p2p_op(dist.irecv, part, before)])
    for work in works:
        assert work is not None
        work.wait()


if __name__ == "__main__":
    main()
