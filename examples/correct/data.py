"""A synthetic classification task that can be learned, and that continues where a checkpoint left off."""

from __future__ import annotations

import torch
from model import CLASSES, FEATURES

#: The rule that the student has to find: the class of an example is the largest of these linear scores.
TASK_SEED = 2**32


def true_scores(inputs: torch.Tensor) -> torch.Tensor:
    """The scores `(examples, CLASSES)` whose largest entry is the label."""
    weight = torch.randn(FEATURES, CLASSES, generator=torch.Generator().manual_seed(TASK_SEED))
    return inputs @ weight


class TrainingData:
    """An endless stream of batches, different on each rank. `position` is all there is to remember about it."""

    def __init__(self, rank: int, world_size: int, batch_size: int) -> None:
        """Start at the first batch of `rank`, one of `world_size` ranks that share the stream."""
        self.rank = rank
        self.world_size = world_size
        self.batch_size = batch_size
        self.position = 0

    def next_batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return inputs `(batch_size, FEATURES)` and labels `(batch_size,)`, and move on."""
        seed = self.position * self.world_size + self.rank
        inputs = torch.randn(self.batch_size, FEATURES, generator=torch.Generator().manual_seed(seed))
        self.position += 1
        return inputs, true_scores(inputs).argmax(dim=1)
