"""Real checkpoints of every kind: `torchrun --nproc-per-node 4 ... checkpoints.py FOLDER [KIND...]`, each in FOLDER/KIND."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict, get_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

FEATURES, WIDTH = 32, 12


def values(*shape: int, seed: int = 0) -> torch.Tensor:
    """The same numbers on every rank."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(WIDTH, FEATURES), nn.ReLU(), nn.Linear(FEATURES, WIDTH))


def trained(parameters: nn.Module, steps: int = 2) -> torch.optim.Optimizer:
    optimizer = torch.optim.AdamW(parameters.parameters(), lr=1e-2)
    for step in range(steps):
        optimizer.zero_grad()
        parameters(values(8, WIDTH, seed=dist.get_rank() + 10 * step)).square().mean().backward()
        optimizer.step()
    return optimizer


def mesh(*sizes: int, names: tuple[str, ...] = ("dp",)) -> DeviceMesh:
    return init_device_mesh("cpu", sizes or (dist.get_world_size(),), mesh_dim_names=names)


# ----------------------------------------------------------------------------------------------------- correct saves


def fsdp(folder: Path) -> None:
    """FSDP2 with its optimizer, and the consolidated file that rank 0 makes of it."""
    sharded = fully_shard(model(), mesh=mesh())
    optimizer = trained(sharded)
    state, optim = get_state_dict(sharded, optimizer)
    dcp.save({"model": state, "optim": optim, "step": 2}, checkpoint_id=folder)
    whole = get_model_state_dict(sharded, options=StateDictOptions(full_state_dict=True, cpu_offload=True))
    if dist.get_rank() == 0:
        from safetensors.torch import save_file

        save_file({name: tensor.contiguous() for name, tensor in whole.items()}, f"{folder}.safetensors")
        torch.save(whole, f"{folder}.pt")
        save_file({name: tensor.to(torch.bfloat16) for name, tensor in whole.items()}, f"{folder}-bf16.safetensors")


def replicas(folder: Path) -> None:
    """DDP: every rank has everything."""
    network = DistributedDataParallel(model())
    optimizer = trained(network)
    state, optim = get_state_dict(network, optimizer)
    dcp.save({"model": state, "optim": optim}, checkpoint_id=folder)


def tensor_parallel(folder: Path) -> None:
    """DTensor, sharded by columns and by rows, the bias replicated; tied and constant tensors."""
    group = mesh()
    column = distribute_tensor(values(FEATURES, WIDTH), group, [Shard(0)])
    row = distribute_tensor(values(WIDTH, FEATURES, seed=1), group, [Shard(1)])
    bias = distribute_tensor(values(WIDTH, seed=2), group, [Replicate()])
    zeros = distribute_tensor(torch.zeros(FEATURES, WIDTH), group, [Shard(0)])
    state = {"up": column, "down": row, "bias": bias, "tied": column, "fresh": zeros}
    dcp.save(state, checkpoint_id=folder)
    later = {name: tensor if name == "bias" else tensor * 2 for name, tensor in state.items()}
    dcp.save(later, checkpoint_id=f"{folder}-later")
    if dist.get_rank() == 0:
        torch.save({"up": values(FEATURES, WIDTH), "down": values(WIDTH, FEATURES, seed=1)}, f"{folder}.pt")


def two_dimensions(folder: Path) -> None:
    group = mesh(2, 2, names=("dp", "tp"))
    grid = distribute_tensor(values(8, 6), group, [Shard(0), Shard(1)])
    hybrid = distribute_tensor(values(8, 6, seed=1), group, [Replicate(), Shard(0)])
    dcp.save({"grid": grid, "hybrid": hybrid}, checkpoint_id=folder)


def odd(folder: Path) -> None:
    """Uneven shards, small dtypes, nothing at all, one number, other strides, things that are no tensors."""
    group = mesh()
    state: dict[str, Any] = {
        "uneven": distribute_tensor(values(10, 3), group, [Shard(0)]),
        "few": distribute_tensor(values(2, 3), group, [Shard(0)]),
        "bf16": distribute_tensor(values(7, 3).bfloat16(), group, [Shard(0)]),
        "fp8": distribute_tensor(values(16, 4).to(torch.float8_e4m3fn).view(torch.uint8), group, [Shard(0)]),
        "plain8": values(4, 4).to(torch.float8_e4m3fn),
        "empty": torch.empty(0, 4),
        "number": torch.tensor(3.0),
        "turned": values(4, 6).t(),
        "images": values(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "flags": torch.tensor([True, False]),
        "progress": {"epoch": 3, "seen": [1, 2], "name": "x"},
    }
    dcp.save(state, checkpoint_id=folder)


def later(folder: Path) -> None:
    """async_save."""
    sharded = fully_shard(model(), mesh=mesh())
    dcp.async_save({"model": sharded.state_dict()}, checkpoint_id=folder).result()


def hugging_face(folder: Path) -> None:
    from torch.distributed.checkpoint import HuggingFaceStorageWriter

    state = {
        "up.weight": distribute_tensor(values(FEATURES, WIDTH), mesh(), [Shard(0)]),
        "norm.weight": distribute_tensor(values(WIDTH, seed=3), mesh(), [Shard(0)]),
    }
    writer = HuggingFaceStorageWriter(path=str(folder), save_distributed=True, fqn_to_index_mapping=None)
    dcp.save(state, storage_writer=writer)


def no_collectives(folder: Path) -> None:
    state = {"up": distribute_tensor(values(FEATURES, WIDTH), mesh(), [Shard(0)])}
    dcp.save(state, checkpoint_id=folder, use_collectives=False)


def sizes(folder: Path) -> None:
    """The same model by 1, 2, 3 and 4 ranks."""
    for count in (1, 2, 3, 4):
        group = dist.new_group(list(range(count)))
        if dist.get_rank() < count:
            part = DeviceMesh.from_group(group, "cpu")
            state = {
                "up": distribute_tensor(values(FEATURES, WIDTH), part, [Shard(0)]),
                "down": distribute_tensor(values(WIDTH, FEATURES, seed=1), part, [Shard(1)]),
                "bias": values(WIDTH, seed=2),
            }
            dcp.save(state, checkpoint_id=folder / str(count), process_group=group)
    # Saved by four, read by two and by three, and saved again.
    for count in (2, 3):
        group = dist.new_group(list(range(count)))
        if dist.get_rank() < count:
            part = DeviceMesh.from_group(group, "cpu")
            state = {
                "up": distribute_tensor(torch.zeros(FEATURES, WIDTH), part, [Shard(1)]),
                "down": distribute_tensor(torch.zeros(WIDTH, FEATURES), part, [Shard(0)]),
                "bias": torch.zeros(WIDTH),
            }
            dcp.load(state, checkpoint_id=folder / "4", process_group=group)
            dcp.save(state, checkpoint_id=folder / f"4-as-{count}", process_group=group)


def slots(folder: Path) -> None:
    """A buffer whose values are rows of the rank that holds it, by 2 and by 6 ranks (as many as there are parts)."""
    for count in (2, 6):
        ranks = min(count, dist.get_world_size())
        group = dist.new_group(list(range(ranks)))
        if dist.get_rank() >= ranks:
            continue
        rows = 48 // count
        parts = [torch.randperm(rows, generator=torch.Generator().manual_seed(r)) + r * rows for r in range(count)]
        if count == ranks:
            part = DeviceMesh.from_group(group, "cpu")
            mapping = DTensor.from_local(parts[dist.get_rank()], part, [Shard(0)])
            state = {"table.mapping": mapping, "table.ids": distribute_tensor(values(48), part, [Shard(0)])}
            dcp.save(state, checkpoint_id=folder / str(count), process_group=group)
        elif dist.get_rank() == 0:
            for rank, local in enumerate(parts):
                (folder / str(count)).mkdir(parents=True, exist_ok=True)
                torch.save({"table.mapping": local}, folder / str(count) / f"rank_{rank}.pt")


# ----------------------------------------------------------------------------------------------------- wrong saves


def hand_made(folder: Path) -> None:
    """Tensor parallelism by hand, as plain tensors of the same names: DCP keeps one rank's part of each."""
    rank, world = dist.get_rank(), dist.get_world_size()
    part = FEATURES // world
    up = values(FEATURES, WIDTH)[rank * part : (rank + 1) * part].clone()
    down = values(WIDTH, FEATURES, seed=1)[:, rank * part : (rank + 1) * part].clone()
    state = {"up": up, "down": down, "bias": values(WIDTH, seed=2)}
    dcp.save(state, checkpoint_id=folder)
    by_rank = Path(f"{folder}-ranks")
    by_rank.mkdir(exist_ok=True)
    torch.save(state, by_rank / f"rank_{rank}_model.pt")
    if rank == 0:
        from safetensors.torch import save_file

        whole = {"up": values(FEATURES, WIDTH), "down": values(WIDTH, FEATURES, seed=1), "bias": state["bias"]}
        save_file({name: tensor.contiguous() for name, tensor in state.items()}, f"{folder}-rank0.safetensors")
        save_file(whole, f"{folder}-whole.safetensors")
        half = {**whole, "up": torch.cat([up] * world), "down": torch.cat([down] * world, 1).contiguous()}
        save_file(half, f"{folder}-same.safetensors")
        order = [whole["up"][r * part : (r + 1) * part] for r in reversed(range(world))]
        save_file({**whole, "up": torch.cat(order)}, f"{folder}-order.safetensors")


KINDS = {
    kind.__name__: kind
    for kind in (
        fsdp, replicas, tensor_parallel, two_dimensions, odd, later, hugging_face, no_collectives, sizes, slots, hand_made,
    )
}  # fmt: skip


def main() -> None:
    dist.init_process_group("gloo")
    folder = Path(sys.argv[1])
    for name in sys.argv[2:] or KINDS:
        KINDS[name](folder / name)
        dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
