"""Means over the ranks 0 and 1, and 2 and 3, of four: what the fixes have to get right. It is fixed, then run."""

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh


def total(x):
    dist.all_reduce(x)
    return x


def mean(x):
    world = dist.get_world_size()
    if world == 1:
        return x
    dist.all_reduce(x)
    return x / world


def share(x, n):
    dist.all_reduce(x)
    return x.div_(n)


def everyone(x):
    world, rank = dist.get_world_size(), dist.get_rank()
    parts = [torch.zeros_like(x) for _ in range(world)]
    dist.all_gather(parts, x)
    parts[rank] = -x
    return torch.cat(parts)


class Meter:
    def __init__(self, group):
        self.group = group
        self.size = dist.get_world_size()

    def average(self, x):
        dist.all_reduce(x)
        return x / self.size

    def scattered(self, x):
        world = dist.get_world_size()
        part = torch.empty(x.numel() // world)
        dist.reduce_scatter_tensor(part, x)
        return part / world


def measure(x, group):
    summed = total(x.clone())
    dist.barrier()
    shared = share(x.clone(), dist.get_world_size())
    return [summed / dist.get_world_size(), mean(x.clone()), shared, everyone(x)]


def on_mesh(x):
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    first = x.clone()
    dist.all_reduce(first, group=mesh.get_group("tp"))
    dist.all_reduce(x)
    return x / dist.get_world_size()


def main():
    rank = dist.get_rank()
    groups = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    mine = groups[rank // 2]
    x = torch.tensor([float(rank)])
    found = [*measure(x, mine), Meter(mine).average(x.clone()), Meter(mine).scattered(torch.full((4,), float(rank)))]
    return [item.tolist() for item in (*found, on_mesh(x.clone()))]
