"""Saves and loads under the audit: `torchrun ... audited.py KIND FOLDER`."""

from __future__ import annotations

import os
import random
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file
from torch.distributed.checkpoint import DefaultSavePlanner, FileSystemWriter, async_save, save
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from typing_extensions import Self


def mesh() -> DeviceMesh:
    return init_device_mesh("cpu", (dist.get_world_size(),))


def silent(folder: Path) -> None:
    """Everything that is right: replicas that agree, shards, constants, other strides, a subclass of the planner, a thread."""
    plain = torch.arange(12.0).reshape(3, 4)
    turned = plain.t().contiguous().t() if dist.get_rank() else plain
    state: dict[str, Any] = {
        "plain": plain,
        "turned": turned,
        "sharded": distribute_tensor(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), mesh(), [Shard(0)]),
        "whole": distribute_tensor(plain, mesh(), [Replicate()]),
        "few": distribute_tensor(torch.ones(1, 3), mesh(), [Shard(0)]),
        "empty": torch.empty(0),
        "step": 3,
        **personal(0, turned=bool(dist.get_rank())),
    }
    save(state, checkpoint_id=folder / "plain")
    save(state, checkpoint_id=folder / "planned", planner=Planner())
    async_save(state, checkpoint_id=folder / "later").result()
    save({"alone": torch.ones(3) * dist.get_rank()}, checkpoint_id=folder / f"alone{dist.get_rank()}", no_dist=True)
    loaded = {name: torch.zeros_like(value) for name, value in state.items() if isinstance(value, torch.Tensor)}
    dcp.load(loaded, checkpoint_id=folder / "plain")
    assert torch.equal(loaded["plain"], plain)
    torch.save({"plain": loaded["plain"]}, folder / f"rank_{dist.get_rank()}.pt")


class Planner(DefaultSavePlanner):
    def create_local_plan(self) -> Any:
        return super().create_local_plan()


def parts(folder: Path) -> None:
    """Tensor parallelism by hand."""
    rank = dist.get_rank()
    save(
        {"layers.0.weight": torch.full((2, 3), float(rank)), "layers.1.weight": torch.full((3,), float(rank))},
        checkpoint_id=folder,
    )


def parts_later(folder: Path) -> None:
    async_save({"w": torch.full((2, 3), float(dist.get_rank()))}, checkpoint_id=folder).result()


def parts_in_a_process(folder: Path) -> None:
    kind = dcp.state_dict_saver.AsyncCheckpointerType.PROCESS
    async_save(
        {"w": torch.full((2, 3), float(dist.get_rank()))}, checkpoint_id=folder, async_checkpointer_type=kind
    ).result()


def cached_plans(folder: Path) -> None:
    """The plans of the second and third save are not sent again; the values of the third differ."""
    planner = DefaultSavePlanner(enable_plan_caching=True)
    for turn in range(3):
        save(
            {"w": torch.full((3,), float(dist.get_rank() if turn == 2 else 1))},
            checkpoint_id=folder / str(turn),
            planner=planner,
        )


def other_shapes(folder: Path) -> None:
    save({"w": torch.ones(3 + dist.get_rank())}, checkpoint_id=folder)


def drifted(folder: Path) -> None:
    """Declared as replicas, and they are not."""
    local = torch.ones(4) + (dist.get_rank() == 1)
    save({"w": DTensor.from_local(local, mesh(), [Replicate()], run_check=False)}, checkpoint_id=folder)


class Sampler:
    """An object with attributes, as data loaders have."""

    def __init__(self, position: int) -> None:
        self.position = position


class Pickled(Sampler):
    """What is pickled of it, only its own code knows."""

    def __init__(self) -> None:
        super().__init__(id(self))

    def __getstate__(self) -> dict[str, int]:
        return {}


def personal(number: int, *, turned: bool = False) -> dict[str, Any]:
    """Python objects of many kinds that differ exactly with `number`. Mappings may be in either order."""
    torch.manual_seed(number)
    np.random.seed(number)
    pairs = [("a", [number, None]), ("b", {"x", number})]
    return {
        "python_rng": random.Random(number).getstate(),
        "numpy_rng": np.random.get_state(),
        "generator": random.Random(number),
        "drawer": np.random.default_rng(number),
        "array": np.full(3, number),
        "loader": Sampler(number),
        "order": list(range(number, number + 20_000)),
        "seen": number,
        "mapping": (dict(reversed(pairs) if turned else pairs),),
        "nested": ({"deep": (torch.full((2,), number),)},),
        "own": Pickled(),
    }


class Network(torch.nn.Module):
    """With a parameter that its forward does not use, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Linear(3, 3)
        self.free = torch.nn.Parameter(torch.zeros(4, 3))
        self.register_buffer("average", torch.zeros(3))

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.body(batch)


def step(model: torch.nn.Module, network: Network) -> dict[str, Any]:
    """One step on each rank's own data; only the gradients of `body` are reduced, and by hand only. The state after it."""
    batch = torch.randn(2, 3, generator=torch.Generator().manual_seed(dist.get_rank()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with model.no_sync() if isinstance(model, DistributedDataParallel) else nullcontext():
        (model(batch).sum() + (batch @ network.free.t()).sum()).backward()
    if model is network:
        for parameter in network.body.parameters():
            dist.all_reduce(parameter.grad)
    optimizer.step()
    network.average += batch[0]
    return {"model": network.state_dict(), "optim": {str(k): v for k, v in optimizer.state_dict()["state"].items()}}


def data_parallel_drifted(folder: Path) -> None:
    network = Network()
    model = DistributedDataParallel(network)
    save(step(model, network), checkpoint_id=folder)


def data_parallel_drifted_by_hand(folder: Path) -> None:
    network = Network()
    for tensor in network.state_dict().values():
        dist.broadcast(tensor, src=0)
    save({"model": step(network, network)["model"]}, checkpoint_id=folder)


def parts_of_data_parallel(folder: Path) -> None:
    """Tensor parallelism by hand, each part of which has replicas of its own: here one rank has all of them."""
    groups = [dist.new_group([rank]) for rank in range(dist.get_world_size())]
    network = Network()
    with torch.no_grad():
        network.free += dist.get_rank()
    model = DistributedDataParallel(network, process_group=groups[dist.get_rank()])
    save({"model": model.module.state_dict()}, checkpoint_id=folder)


def generators(folder: Path) -> None:
    """What is each rank's own without being a weight."""
    rank = dist.get_rank()
    save({"w": torch.ones(2), **personal(rank), "rng": torch.get_rng_state()}, checkpoint_id=folder)


def generators_and_weights(folder: Path) -> None:
    rank = dist.get_rank()
    torch.manual_seed(rank)
    save({"w": torch.full((2, 3), float(rank)), "rng": torch.get_rng_state(), "seen": rank}, checkpoint_id=folder)


def pair(folder: Path) -> None:
    """A group of its own: ranks are global, files are named by the place in the group."""
    group = dist.new_group([1, 2])
    if dist.get_rank() in (1, 2):
        save({"w": torch.full((3,), float(dist.get_rank()))}, checkpoint_id=folder, process_group=group)


def file_of_rank_zero(folder: Path) -> None:
    """A model sharded by DTensor, of which rank 0 writes its local part as if it were all."""
    weight = distribute_tensor(torch.randn(8, 3, generator=torch.Generator().manual_seed(0)), mesh(), [Shard(0)])
    save({"model": {"weight": weight}}, checkpoint_id=folder)
    if dist.get_rank() == 0:
        torch.save({"weight": weight.to_local()}, f"{folder}.pt")


class Meeting:
    """No rank gets past it before all have begun to pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        dist.barrier()
        return Meeting, ()


def one_file_for_all(folder: Path) -> None:
    state = {"w": torch.full((10_000_000,), float(dist.get_rank())), "meeting": Meeting()}
    torch.save(state, f"{folder}.pt")
    dist.barrier()


class Together(FileSystemWriter):
    """No rank writes before all have begun their save."""

    def write_data(self, *args: Any) -> Any:
        dist.barrier()
        return super().write_data(*args)


def torn(folder: Path) -> None:
    """Every rank believes to be the only one."""
    state = {"w": torch.full((10_000_000,), float(dist.get_rank()))}
    try:
        save(state, storage_writer=Together(folder), no_dist=True)
    except BaseException as error:
        sys.stderr.write(f"failed with {type(error).__name__}\n")
    dist.barrier()


class Wrapped(torch.Tensor):
    """A tensor without a storage of its own, as quantized weights are."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> Self:
        return torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype, strides=(1,), storage_offset=8)

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.ops.aten.detach.default:
            return cls(args[0].inner)
        args = tuple(arg.inner if isinstance(arg, Wrapped) else arg for arg in args)
        return function(*args, **(kwargs or {}))


def unusual(folder: Path) -> None:
    """Correct, each in its own way."""
    rank = dist.get_rank()
    folder.mkdir(exist_ok=True)
    # Statistics of a normalisation, a meter: each rank's own.
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 4))
    for parameter in network.parameters():
        torch.nn.init.constant_(parameter, 0.5)
    network(torch.randn(8, 4, generator=torch.Generator().manual_seed(rank)))
    save({"model": network.state_dict(), "loss": torch.tensor(float(rank))}, checkpoint_id=folder / "normalised")
    # Values that are not where a tensor usually has them.
    save({"w": Wrapped(torch.ones(4))}, checkpoint_id=folder / "wrapped", storage_writer=Nothing(folder / "wrapped"))
    # Structures that refer to themselves, and a device.
    root: dict[str, Any] = {"w": torch.ones(2)}
    root["children"] = [{"parent": root, "own": torch.ones(1)} for _ in range(40)]
    torch.save(root, folder / f"rank_{rank}.pt")
    torch.save({"w": torch.ones(3)}, os.devnull)
    # One rank after the other into one file.
    for turn in range(dist.get_world_size()):
        if turn == rank:
            torch.save({"turn": torch.tensor([turn])}, folder / "turns.pt")
        dist.barrier()
    # Much data that is no tensor.
    save({"blob": b"x" * 10_000_000, "w": torch.ones(2)}, checkpoint_id=folder / "blob")
    # A student whose names end as the sharded teacher's do.
    weight = distribute_tensor(torch.ones(6, 3), mesh(), [Shard(0)])
    save({"teacher": {"weight": weight}}, checkpoint_id=folder / "teacher")
    if rank == 0:
        torch.save({"weight": torch.ones(2, 3), "head": torch.ones(3), "tail": torch.ones(4)}, folder / "student.pt")
    dist.barrier()
    Path(f"{folder}-{rank}").write_text("saved")


class Nothing(dcp.FileSystemWriter):
    """Writes no data: what is asked for is whether looking at it does harm."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        future: Any = torch.futures.Future()
        future.set_result([])
        return future

    def finish(self, metadata: Any, results: Any) -> None:
        pass


def mute(folder: Path) -> None:
    sys.stderr.close()
    save({"step": dist.get_rank(), "w": torch.ones(2) * dist.get_rank()}, checkpoint_id=folder)
    Path(f"{folder}-{dist.get_rank()}").write_text("saved")


def own_part(folder: Path) -> None:
    """A DTensor in a file that only rank 0 writes."""
    weight = distribute_tensor(torch.ones(8, 3), mesh(), [Shard(0)])
    if dist.get_rank() == 0:
        torch.save({"weight": weight}, f"{folder}.pt")


def shard_of_rank_zero(folder: Path) -> None:
    """A copy of the local shards of FSDP, in a file that only rank 0 writes; the file beside it has whole tensors."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(6, 6), torch.nn.Linear(6, 3))
    fully_shard(network)
    full = {name: tensor.full_tensor() for name, tensor in network.state_dict().items()}
    if dist.get_rank() == 0:
        torch.save({name: tensor.to_local().clone() for name, tensor in network.state_dict().items()}, f"{folder}.pt")
        torch.save(full, f"{folder}-full.pt")


def hand_sharded_of_rank_zero(folder: Path) -> None:
    weight = torch.randn(2, 3) + dist.get_rank()
    both = [torch.empty_like(weight) for _ in range(dist.get_world_size())]
    dist.all_gather(both, weight)
    if dist.get_rank() == 0:
        save_file({"weight": weight, "bias": torch.ones(3)}, f"{folder}.safetensors")


def whole_files(folder: Path) -> None:
    """Rank 0 writes what was gathered, what every rank holds alike and was compared, and numbers of the same shapes."""
    folder.mkdir(exist_ok=True)
    shard = distribute_tensor(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), mesh(), [Shard(0)])
    state = distribute_tensor(torch.zeros(6, 3), mesh(), [Shard(0)])
    part = torch.randn(2, 3)
    whole = torch.empty(6, 3)
    dist.all_gather_into_tensor(whole, part)
    alike = torch.full((4,), float(dist.get_rank())).cumsum(0)
    dist.broadcast(alike, src=0)
    dist.all_gather([torch.empty(4) for _ in range(3)], alike)
    full = shard.full_tensor()
    # Every rank its own.
    torch.save({"shard": shard.to_local(), "part": part}, folder / f"part-{'abc'[dist.get_rank()]}.pt")
    if dist.get_rank() == 0:
        metrics = torch.zeros(2, 3)
        torch.save({"shard": full, "part": whole, "alike": alike, "metrics": metrics}, folder / "whole.pt")
        save_file({"state": state.to_local() + 1, "other": torch.randn(2, 3)}, folder / "whole.safetensors")
    dist.barrier()
    Path(f"{folder}-{dist.get_rank()}").write_text("saved")


def rotten(folder: Path) -> None:
    """A file changes between save and load."""
    weight = distribute_tensor(torch.randn(64, 3), mesh(), [Shard(0)])
    save({"w": weight}, checkpoint_id=folder)
    dist.barrier()
    if dist.get_rank() == 0:
        file = folder / "__1_0.distcp"
        data = bytearray(file.read_bytes())
        data[800] ^= 1
        file.write_bytes(bytes(data))
    dist.barrier()
    dcp.load({"w": weight}, checkpoint_id=folder)


def failing(folder: Path) -> None:
    """A tensor without data cannot be saved; the error is DCP's own."""
    try:
        save({"w": torch.empty(3, device="meta"), "v": torch.ones(2)}, checkpoint_id=folder)
    except BaseException as error:
        sys.stderr.write(f"failed with {type(error).__name__}\n")


def main() -> None:
    dist.init_process_group("gloo")
    globals()[sys.argv[1]](Path(sys.argv[2]))
    dist.destroy_process_group()
    os.sync()


if __name__ == "__main__":
    main()
