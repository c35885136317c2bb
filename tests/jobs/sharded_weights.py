"""Fingerprints of sharded weights, on four ranks: what each has found goes into `found-RANK.json`."""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.distributed as dist
from collectivelint.runtime.weights import compare, fingerprint
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor


def _state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {
        "layers.0.weight": torch.randn(6, 5),
        "layers.0.bias": torch.randn(6).bfloat16(),
        "scale": torch.tensor(2.5, dtype=torch.float64),
        "mask": torch.rand(7) > 0.5,
        "rotary": torch.randn(4, 3, dtype=torch.complex64),
        "quantised": torch.randn(8).to(torch.float8_e4m3fn),
        "empty": torch.zeros(0, 4),
        "large": torch.arange(3 * 70_001, dtype=torch.int32).reshape(3, 70_001),
    }


def _sharded() -> list[str]:
    mesh = init_device_mesh("cpu", (2, 2), mesh_dim_names=("dp", "tp"))
    whole = {name: value for name, value in _state().items() if name in ("layers.0.weight", "layers.0.bias", "large")}
    group = dist.group.WORLD
    found = []
    for placements in ([Shard(0), Shard(1)], [Replicate(), Shard(0)], [Shard(0), Shard(0)], [Replicate(), Replicate()]):
        state = {
            name: distribute_tensor(
                value, mesh, [p if value.dim() > getattr(p, "dim", 0) else Replicate() for p in placements]
            )
            for name, value in whole.items()
        }
        found.append(str(compare(fingerprint(state, group=group), fingerprint(whole))))
    # Plain tensors are the same on all ranks, and count once.
    found.append(str(compare(fingerprint(whole, group=group), fingerprint(whole))))
    model = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape))
    before = fingerprint(model)
    fully_shard(model)
    found.append(str(compare(fingerprint(model, group=group), before)))
    with torch.no_grad():
        if dist.get_rank() == 3:
            next(model.parameters()).to_local().add_(1)
    found.append(str(compare(fingerprint(model, group=group), before)))
    try:
        fingerprint({"p": DTensor.from_local(torch.ones(2), mesh, [Partial(), Replicate()])})
    except ValueError as error:
        found.append(str(error))
    return found


if __name__ == "__main__":
    dist.init_process_group("gloo")
    Path(f"found-{dist.get_rank()}.json").write_text(json.dumps(_sharded()))
    dist.destroy_process_group()
