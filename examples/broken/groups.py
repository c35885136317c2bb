"""The process groups of the job: who trains, and who talks to the teacher."""

from __future__ import annotations

from dataclasses import dataclass

import torch.distributed as dist


@dataclass(frozen=True)
class Groups:
    """The process groups of this job; `dist.get_rank(group)` is -1 on ranks that stand outside a group."""

    training: dist.ProcessGroup
    """The student's ranks: all but the last. Its rank 0 is the leader."""
    distill: dist.ProcessGroup
    """The leader (rank 0 of this group) and the teacher (rank 1 of this group)."""


def create_groups() -> Groups:
    """Create both groups. Every rank of the job calls this, also for a group that it will not belong to."""
    *training_ranks, teacher_rank = range(dist.get_world_size())
    leader_rank = training_ranks[0]
    # new_group is collective over the whole job: the same calls, in the same order, on every rank.
    training = dist.new_group(training_ranks, group_desc="training")
    distill = dist.new_group([leader_rank, teacher_rank], group_desc="distill")
    return Groups(training, distill)
