"""Distillation: the teacher's loop, and the client through which the training ranks ask it for soft targets.

One request, on the `distill` group (leader and teacher): the number of examples, the inputs, and back the soft targets.
A request for no examples ends the teacher.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from data import true_scores
from model import CLASSES, FEATURES
from torch.nn import functional

LEADER = 0  # in the training group and in the distill group
TEACHER = 1  # in the distill group
STOP = 0


def serve_teacher(group: dist.ProcessGroup) -> int:
    """Answer requests until told to stop; return how many were answered."""
    answered = 0
    while (examples := _receive_request(group)) != STOP:
        inputs = torch.empty(examples, FEATURES)
        dist.broadcast(inputs, group_src=LEADER, group=group)
        # A real teacher would be a large trained model. This one knows the task.
        soft_targets = functional.softmax(true_scores(inputs), dim=1)
        dist.broadcast(soft_targets, group_src=TEACHER, group=group)
        answered += 1
    return answered


def _receive_request(group: dist.ProcessGroup) -> int:
    """Wait for the next request and return its number of examples."""
    request = torch.empty(1, dtype=torch.int64)
    dist.broadcast(request, group_src=LEADER, group=group)
    return int(request.item())


class TeacherClient:
    """What the training ranks see of the teacher. Every training rank makes each call; only the leader talks to it."""

    def __init__(self, training: dist.ProcessGroup, distill: dist.ProcessGroup) -> None:
        """Speak for the ranks of `training`; `distill` holds their leader and the teacher."""
        self.training = training
        self.distill = distill
        self.rank = dist.get_rank(training)
        self.world_size = dist.get_world_size(training)

    def soft_targets(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the teacher's probabilities `(examples, CLASSES)` for this rank's inputs `(examples, FEATURES)`."""
        examples = inputs.shape[0]
        everyones_inputs = [torch.empty_like(inputs) for _ in range(self.world_size)]
        everyones_targets = inputs.new_empty(self.world_size * examples, CLASSES)
        dist.all_gather(everyones_inputs, inputs, group=self.training)
        if dist.get_rank(self.distill) >= 0:  # of the training ranks only the leader is in this group
            self._ask(torch.cat(everyones_inputs), everyones_targets)
        dist.broadcast(everyones_targets, group_src=LEADER, group=self.training)
        return everyones_targets[self.rank * examples : (self.rank + 1) * examples]

    def close(self) -> None:
        """Let the teacher go."""
        if dist.get_rank(self.distill) >= 0:
            dist.broadcast(torch.tensor([STOP]), group_src=LEADER, group=self.distill)

    def _ask(self, inputs: torch.Tensor, soft_targets: torch.Tensor) -> None:
        """Send `inputs` to the teacher and receive its answer into `soft_targets`."""
        dist.broadcast(torch.tensor([inputs.shape[0]]), group_src=LEADER, group=self.distill)
        dist.broadcast(inputs, group_src=LEADER, group=self.distill)
        dist.broadcast(soft_targets, group_src=TEACHER, group=self.distill)
