"""Learn a dictionary of features with tensor parallelism written by hand, save it, and export it as one file.

    torchrun --standalone --nproc-per-node 2 correct.py --dir checkpoints

Each rank has a part of the features: rows of `encode`, columns of `decode`; `bias` is the same on all ranks.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Replicate, Shard

FEATURES = 256
WIDTH = 32
PLACEMENTS = {"encode": [Shard(0)], "decode": [Shard(1)], "bias": [Replicate()]}


class Dictionary(nn.Module):
    """A sparse autoencoder, `(examples, WIDTH)` to the same, of which this rank has `FEATURES / world size` features."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        """Begin with features of this rank's own, and the bias that all have."""
        super().__init__()
        self.group = group
        own = FEATURES // dist.get_world_size(group)
        start = torch.Generator().manual_seed(dist.get_rank(group))
        self.encode = nn.Parameter(0.1 * torch.randn(own, WIDTH, generator=start))
        self.decode = nn.Parameter(0.1 * torch.randn(WIDTH, own, generator=start))
        self.bias = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Every rank adds what its features explain."""
        mine = torch.relu(inputs @ self.encode.T) @ self.decode.T
        whole = mine.detach().clone()
        dist.all_reduce(whole, group=self.group)
        # The gradient of a sum is that of each term.
        return mine + (whole - mine).detach() + self.bias


def train(model: Dictionary, steps: int = 20) -> None:
    """Take some steps on inputs that all ranks see alike."""
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    data = torch.Generator().manual_seed(0)
    for _ in range(steps):
        inputs = torch.randn(64, WIDTH, generator=data)
        optimizer.zero_grad()
        nn.functional.mse_loss(model(inputs), inputs).backward()
        optimizer.step()


def save(model: Dictionary, folder: Path) -> None:
    """Write a distributed checkpoint, and `dictionary.pt` with all features beside it."""
    mesh = DeviceMesh.from_group(model.group, "cpu")
    state = {
        name: DTensor.from_local(tensor, mesh, PLACEMENTS[name], run_check=False)
        for name, tensor in model.state_dict().items()
    }
    dcp.save(state, checkpoint_id=folder, process_group=model.group)
    whole = {name: tensor.full_tensor() for name, tensor in state.items()}
    if dist.get_rank() == 0:
        torch.save(whole, folder.with_suffix(".pt"))


def main() -> None:
    """Train and save."""
    parser = argparse.ArgumentParser(description="Learn a dictionary of features on several ranks, and save it.")
    parser.add_argument("--dir", type=Path, default=Path("checkpoints"), help="where the checkpoint goes (%(default)s)")
    folder = parser.parse_args().dir / "dictionary"
    dist.init_process_group("gloo")
    model = Dictionary(dist.group.WORLD)
    train(model)
    if dist.get_rank() == 0:
        folder.parent.mkdir(parents=True, exist_ok=True)
    dist.barrier(group=dist.group.WORLD)
    save(model, folder)
    dist.barrier(group=dist.group.WORLD)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
