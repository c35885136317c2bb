"""The student, and how its parameters are sharded over the training ranks."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard

FEATURES = 16
CLASSES = 4


class Student(nn.Module):
    """A small residual network: `(examples, FEATURES)` to logits `(examples, CLASSES)`."""

    def __init__(self, width: int = 64, depth: int = 2) -> None:
        """Make `depth` residual blocks of `width` hidden units."""
        super().__init__()
        self.embed = nn.Linear(FEATURES, width)
        self.blocks = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch."""
        hidden = self.embed(inputs)
        for block in self.blocks:
            hidden = hidden + torch.relu(block(hidden))
        return self.head(hidden)


def build_student(group: dist.ProcessGroup, seed: int) -> Student:
    """Build a student whose parameters are sharded over the ranks of `group` (FSDP2)."""
    # The mesh is made from the group: a mesh of its own would be created over every rank of the job, the teacher too.
    mesh = DeviceMesh.from_group(group, "cpu", mesh_dim_names=("shard",))
    torch.manual_seed(seed)  # each rank keeps a shard of its own copy, so the copies have to be equal
    student = Student()
    for block in student.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(student, mesh=mesh)
    return student


def build_optimizer(student: Student) -> torch.optim.Optimizer:
    """Build the optimizer; its state is sharded like the parameters."""
    return torch.optim.AdamW(student.parameters(), lr=5e-3)
