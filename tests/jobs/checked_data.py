"""Jobs whose calls agree in everything but the data: `torchrun ... checked_data.py NAME[,NAME...]`. Some are wrong."""

from __future__ import annotations

import contextlib
import copy
import os
import sys
import time

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(*(nn.Linear(4, 4, bias=False) for _ in range(4)))


def reduce_gradients(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.grad is not None:
            dist.all_reduce(parameter.grad)  # of gradients


def crossed(rank: int, world: int) -> None:
    """Each rank leaves another layer out."""
    module = model()
    used = [layer for number, layer in enumerate(module.children()) if number != 1 + rank]
    nn.Sequential(*used)(torch.ones(1, 4)).sum().backward()
    reduce_gradients(module)


def set_order(rank: int, world: int) -> None:
    """Broadcasts in an order of its own on each rank, as of a set of names."""
    module = model()
    for _, parameter in sorted(module.named_parameters(), reverse=bool(rank)):
        dist.broadcast(parameter.data, 0)  # in any order


def written_early(rank: int, world: int) -> None:
    """The last rank writes to the tensor before it waits for the call to be complete."""
    tensor = torch.full((8,), float(rank + 1))
    work = dist.all_reduce(tensor, async_op=True)  # written to
    if rank == world - 1:
        while not torch.equal(tensor, torch.full((8,), float(sum(range(world + 1))))):
            time.sleep(0.01)
        tensor += 1
    work.wait()
    dist.barrier()


def ddp_order(rank: int, world: int) -> None:
    """Layers in another order on each rank, as of a set: DDP goes through them by number."""
    layers = [(str(number), layer) for number, layer in enumerate(model().children())]
    module = nn.ModuleDict(dict(sorted(layers, reverse=bool(rank))))
    nn.parallel.DistributedDataParallel(module)  # in any order of layers
    dist.barrier()


def ddp_written(rank: int, world: int) -> None:
    """The last rank writes to a gradient when DDP's reducer has sent it and has not waited yet."""
    module = nn.parallel.DistributedDataParallel(model(), gradient_as_bucket_view=True)
    weight = next(module.parameters())

    def write() -> None:
        # Gloo is at work in another thread.
        time.sleep(1)
        weight.grad.add_(1)

    if rank == world - 1:
        weight.register_hook(lambda _: engine.queue_callback(write))
    module(torch.ones(1, 4)).sum().backward()  # of DDP
    dist.barrier()


engine = torch.autograd.Variable._execution_engine
WRONG = {
    "crossed": crossed,
    "set_order": set_order,
    "written_early": written_early,
    "ddp_order": ddp_order,
    "ddp_written": ddp_written,
}


def alike(rank: int, world: int) -> None:
    """Calls with the same parameters: under other names on one rank, frozen on both, with tensors that are none, through views."""
    module = model()
    wrapped = nn.ModuleDict({"inner": module}) if rank else None
    module(torch.ones(1, 4)).sum().backward()
    reduce_gradients(module)
    # From here on there is no parameter of that name on rank 0.
    late = nn.ModuleDict({"later": module}) if not rank else None
    for parameter in module.parameters():
        dist.broadcast(parameter.data.view(-1), 0)
        gradient = parameter.grad if rank else torch.zeros_like(parameter)
        dist.all_reduce(gradient)
    del wrapped, late
    both = nn.ModuleDict({"model": module, "average": copy.deepcopy(module)})
    for name in ("model", "average"):
        for mine, other in zip(both["model"].parameters(), both[name].parameters(), strict=True):
            dist.broadcast(mine.data if rank else other.data, 0)


def tied(rank: int, world: int) -> None:
    """The first stage of a pipeline has the embedding, the last one the output layer with the same weights."""
    torch.manual_seed(0)
    ends = dist.new_group([0, world - 1])
    stage = nn.ModuleDict({"norm": nn.LayerNorm(4)})
    stage["head" if rank == world - 1 else "embed"] = nn.Linear(4, 8, bias=False)
    for _ in range(3):
        for parameter in stage.parameters():
            parameter.grad = torch.ones_like(parameter)
        if rank in (0, world - 1):
            gradient = stage["head" if rank == world - 1 else "embed"].weight.grad
            dist.all_reduce(gradient, group=ends)
    # Tied on this rank as well, so that it is one parameter with two names.
    both = nn.ModuleDict({"embed": nn.Linear(4, 8, bias=False), "head": nn.Linear(4, 8, bias=False)})
    both["head"].weight = both["embed"].weight
    for name in ("embed", "head"):
        dist.broadcast(both[name if rank else "embed"].weight.data, 0)
    # One stage each, with the same names for different layers.
    dist.barrier()


def gathered(rank: int, world: int) -> None:
    """Each rank contributes a parameter of its own, as an optimizer that shards its work."""
    parameters = list(model().parameters())
    for first in range(0, 4, world):
        parts = parameters[first : first + world]
        dist.all_gather([part.data for part in parts], parts[rank].data.clone())
        dist.all_gather([torch.zeros(4, 4) for _ in parts], parts[rank].data)
    dist.reduce_scatter_tensor(torch.zeros(2), torch.ones(2 * world))
    # Room that only one rank fills otherwise.
    dist.gather(torch.ones(2), [torch.zeros(2) for _ in range(world)] if rank == 0 else None)
    dist.reduce(torch.full((2,), float(rank)), 0)


def asynchronous(rank: int, world: int) -> None:
    """The result is used as soon as it may be, whatever is done with the handle then."""
    tensor = torch.ones(4)
    work = dist.all_reduce(tensor, async_op=True)
    while not work.is_completed():
        time.sleep(0.001)
    tensor += rank
    work.wait()
    # The future is waited for instead.
    work = dist.all_reduce(tensor, async_op=True)
    work.get_future().wait()
    tensor += rank
    work.wait()
    # Two on the same memory: which ends first is another on each rank.
    first, second = (dist.all_reduce(tensor[: 3 + number], async_op=True) for number in range(2))
    second.wait()
    tensor += rank
    first.wait()
    # Nobody waits, and the memory is used again.
    for _ in range(5):
        dist.all_reduce(torch.ones(1000), async_op=True)
    dist.barrier()
    shared = torch.ones(4).share_memory_()
    dist.all_reduce(shared)


def owned(rank: int, world: int) -> None:
    """Models that ranks exchange, average, or tie behind torch's back: names differ by design."""
    both = nn.ModuleDict({"student": model(), "teacher": model()})
    for source in range(world):
        for mine, theirs in zip(both["student"].parameters(), both["teacher"].parameters(), strict=True):
            dist.broadcast((mine if rank == source else theirs).data, source)
    soup = nn.ModuleDict({"trunk": model(), "members": nn.ModuleList(model() for _ in range(world))})
    for parameter in (*soup["trunk"].parameters(), *soup["members"][rank].parameters()):
        dist.all_reduce(parameter.data)
    tied = nn.ModuleDict({"a": nn.Linear(6, 6), "b": nn.Linear(6, 6)})
    dist.all_reduce(tied["a"].bias.data)
    tied["b"].weight.data = tied["a"].weight.data
    alone = [dist.new_group([number]) for number in range(world)][rank]
    dist.all_reduce(tied["a" if rank else "b"].bias.data, group=alone)
    dist.all_reduce(tied["b"].weight.data)
    dist.all_reduce(tied["a"].bias.data)


def unusual(rank: int, world: int) -> None:
    """Tensors and modes that are not ordinary: nothing of the checks is seen by them."""
    seen: list[str] = []

    class Note(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            seen.append(str(func))
            return func(*args, **(kwargs or {}))

    class Called(TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return func(*args, **(kwargs or {}))

    class Mine(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(func.__name__)
            return super().__torch_function__(func, types, args, kwargs)

    module = model()
    module(torch.ones(1, 4)).sum().backward()
    with torch.inference_mode():
        dist.all_reduce(torch.ones(3))
    versions = [parameter._version for parameter in module.parameters()]
    gradient, mine = next(module.parameters()).grad, torch.ones(3).as_subclass(Mine)
    with Note(), Called():
        dist.all_reduce(gradient)
        dist.all_reduce(mine)
    assert set(seen) == {"all_reduce", "c10d.allreduce_.default"}, seen
    dist.all_reduce(torch.ones(2, dtype=torch.complex64))
    for tensor in (torch.ones(0), torch.ones(2, 6)[:, ::2].clone(), torch.ones(3, dtype=torch.bool)):
        dist.broadcast(tensor, 0)
    channels = torch.ones(1, 2, 3, 3).to(memory_format=torch.channels_last)
    dist.all_reduce(channels)
    lazy = nn.LazyLinear(4)
    lazy(torch.ones(1, 4)).sum().backward()
    reduce_gradients(lazy)
    functional.all_reduce(next(module.parameters()).detach() * rank, "sum", dist.group.WORLD).wait()
    assert [parameter._version for parameter in module.parameters()] == versions


def ddp(rank: int, world: int) -> None:
    """DDP as people use it, each with other data on each rank; after a step a rank may do with its gradients what it wants."""
    for options in ({}, {"gradient_as_bucket_view": True}, {"static_graph": True}, {"find_unused_parameters": True}):
        module = nn.parallel.DistributedDataParallel(nn.Sequential(model(), nn.BatchNorm1d(4)), **options)
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for step in range(4):
            optimizer.zero_grad(set_to_none=bool(step % 2))
            with module.no_sync() if step == 2 else contextlib.nullcontext():
                module(torch.randn(3, 4) + rank).square().sum().backward()
            if step != 2:
                optimizer.step()
            next(module.parameters()).grad.mul_(rank)
    dist.barrier()


RIGHT = {
    "ddp": ddp,
    "alike": alike,
    "tied": tied,
    "gathered": gathered,
    "asynchronous": asynchronous,
    "owned": owned,
    "unusual": unusual,
}


def main() -> None:
    dist.init_process_group("gloo")
    for name in sys.argv[1].split(","):
        {**WRONG, **RIGHT}[name](dist.get_rank(), dist.get_world_size())
    dist.destroy_process_group()
    if "unusual" in sys.argv[1]:
        # As everything.py: functional collectives.
        os._exit(0)


if __name__ == "__main__":
    main()
