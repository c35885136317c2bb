"""Train a small sharded student with the help of a teacher, on CPU.

    torchrun --standalone --nproc-per-node 4 train.py

The last rank is the teacher, the others train. Run it again, and it continues from its latest checkpoint.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.distributed as dist
from checkpoint import CheckpointManager, TrainState
from data import TrainingData
from distill import TeacherClient, serve_teacher
from groups import Groups, create_groups
from metrics import mean_over_ranks, true_on_every_rank
from model import Student, build_optimizer, build_student
from torch.nn import functional


@dataclass(frozen=True)
class Config:
    """The command line."""

    steps: int
    folder: Path
    save_every: int
    keep: int
    batch_size: int


def parse_arguments() -> Config:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Train a small sharded student with the help of a teacher.")
    parser.add_argument("--steps", type=int, default=20, help="steps to take in this run (%(default)s)")
    parser.add_argument(
        "--dir",
        dest="folder",
        type=Path,
        default=Path(__file__).parent / "checkpoints",
        help="folder of the checkpoints (%(default)s)",
    )
    parser.add_argument("--save-every", type=int, default=5, help="steps between checkpoints (%(default)s)")
    parser.add_argument("--keep", type=int, default=2, help="checkpoints to keep (%(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="examples per rank and step (%(default)s)")
    config = Config(**vars(parser.parse_args()))
    if min(config.steps, config.save_every, config.keep, config.batch_size) < 1:
        parser.error("all numbers have to be at least 1")
    return config


def main() -> None:
    """Start the job: every rank makes the groups, then does its part."""
    config = parse_arguments()
    dist.init_process_group(backend="gloo")
    if dist.get_world_size() < 2:
        raise SystemExit("this job needs a rank that trains and one that teaches: --nproc-per-node 2 or more")
    groups = create_groups()
    if dist.get_rank(groups.training) >= 0:
        train(config, groups)
    elif dist.get_rank(groups.distill) >= 0:
        serve_teacher(groups.distill)
    # The one place where the teacher meets the others: nobody disconnects while somebody still works.
    dist.barrier(group=dist.group.WORLD)
    dist.destroy_process_group()


def train(config: Config, groups: Groups) -> None:
    """Train for `config.steps` steps, from the latest checkpoint on if there is one."""
    group = groups.training
    student = build_student(group, seed=0)
    optimizer = build_optimizer(student)
    data = TrainingData(dist.get_rank(group), dist.get_world_size(group), config.batch_size)
    teacher = TeacherClient(groups.training, groups.distill)
    checkpoints = CheckpointManager(config.folder, group, config.keep)

    state = checkpoints.load(student, optimizer)
    data.position = state.data_position
    report(f"start at step {state.step}", group)
    last_step = state.step + config.steps
    while state.step < last_step:
        loss = train_step(student, optimizer, data, teacher)
        state = TrainState(state.step + 1, data.position)
        if state.step % config.save_every == 0 or state.step == last_step:
            checkpoints.save(student, optimizer, state)
            mean_loss = mean_over_ranks(loss, group)
            report(f"step {state.step}  loss {mean_loss:.4f}  checkpoint saved", group)

    teacher.close()
    check_last_checkpoint(checkpoints, student, group)


def train_step(student: Student, optimizer: torch.optim.Optimizer, data: TrainingData, teacher: TeacherClient) -> float:
    """Take one step: follow the labels and the teacher. Returns the loss on this rank's batch."""
    inputs, labels = data.next_batch()
    soft_targets = teacher.soft_targets(inputs)
    logits = student(inputs)
    label_loss = functional.cross_entropy(logits, labels)
    teacher_loss = functional.kl_div(functional.log_softmax(logits, dim=1), soft_targets, reduction="batchmean")
    loss = label_loss + teacher_loss
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    return loss.item()


def check_last_checkpoint(checkpoints: CheckpointManager, student: Student, group: dist.ProcessGroup) -> None:
    """Load the last checkpoint into a second student and compare it with the trained one, shard by shard."""
    restored = build_student(group, seed=1)
    state = checkpoints.load(restored, build_optimizer(restored))
    same = all(
        torch.equal(mine.to_local(), theirs.to_local())
        for mine, theirs in zip(student.parameters(), restored.parameters(), strict=True)
    )
    if not true_on_every_rank(same, group):
        raise RuntimeError(f"the checkpoint of step {state.step} does not hold the trained parameters")
    report(f"the checkpoint of step {state.step} was loaded back: all parameters agree", group)


def report(message: str, group: dist.ProcessGroup) -> None:
    """Print on the leader only."""
    if dist.get_rank(group) == 0:
        print(message, flush=True)


if __name__ == "__main__":
    main()
