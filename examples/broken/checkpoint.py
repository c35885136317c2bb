"""Checkpoints of the sharded student, written by all training ranks together.

checkpoints/
    latest                  the number of the newest complete checkpoint
    step_00000020/
        .metadata           written by torch.distributed.checkpoint (DCP), last of its files
        __0_0.distcp        model and optimizer shards, one file a rank
        train_state_0.json  where this rank stands in its data, one file a rank
"""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from metrics import true_on_every_rank
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

LEADER = 0  # in the training group
NO_CHECKPOINT = -1


@dataclass
class TrainState:
    """What a rank has to remember besides the model and the optimizer."""

    step: int = 0
    data_position: int = 0


class CheckpointManager:
    """Saves, loads and prunes checkpoints under `root`. Every rank of `group` makes each call."""

    def __init__(self, root: Path, group: dist.ProcessGroup, keep: int) -> None:
        """Keep the newest `keep` checkpoints of the model whose shards the ranks of `group` hold."""
        self.root = root
        self.group = group
        self.keep = keep
        self.rank = dist.get_rank(group)

    def save(self, model: nn.Module, optimizer: torch.optim.Optimizer, state: TrainState) -> None:
        """Write the checkpoint of this step, then remove those that are too old to keep."""
        folder = self._folder(state.step)
        if self.rank == LEADER:
            folder.mkdir(parents=True, exist_ok=True)
        # The folder has to be there before anybody writes into it.
        dist.barrier()

        dcp.save(_sharded_state(model, optimizer), checkpoint_id=folder, process_group=self.group)
        self._train_state_file(folder).write_text(json.dumps(asdict(state)))

        # The checkpoint becomes the latest one when every rank has written its part.
        dist.barrier()
        if self.rank == LEADER:
            self._set_latest(state.step)
        self._clean_up()

    def load(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainState:
        """Load the latest checkpoint into model and optimizer; without one, leave them and return a fresh state."""
        step = self.latest_step()
        if step == NO_CHECKPOINT:
            return TrainState()
        folder = self._folder(step)
        sharded_state = _sharded_state(model, optimizer)
        dcp.load(sharded_state, checkpoint_id=folder, process_group=self.group)
        set_state_dict(
            model,
            optimizer,
            model_state_dict=sharded_state["model"],
            optim_state_dict=sharded_state["optimizer"],
        )
        state = TrainState(**json.loads(self._train_state_file(folder).read_text()))
        assert true_on_every_rank(state.step == step, self.group), f"{folder}: some train state is not of step {step}"

        # Nobody goes on to prune checkpoints while another rank still reads.
        dist.barrier()
        return state

    def latest_step(self) -> int:
        """Return the step of the newest complete checkpoint, or NO_CHECKPOINT: what the leader sees, on every rank."""
        step = torch.tensor([NO_CHECKPOINT])
        if self.rank == LEADER and self._latest_file.exists():
            step.fill_(int(self._latest_file.read_text()))
        dist.broadcast(step, group_src=LEADER, group=self.group)
        return int(step.item())

    def _clean_up(self) -> None:
        """Remove all but the newest `keep` checkpoints. When this returns, the old ones are gone for every rank."""
        if dist.get_rank(self.group) == LEADER:
            for folder in sorted(self.root.glob("step_*"))[: -self.keep]:
                shutil.rmtree(folder)
            dist.barrier(group=self.group)

    def _set_latest(self, step: int) -> None:
        """Name the latest checkpoint. The rename is atomic: a reader sees the old number or the new one."""
        draft = self._latest_file.with_suffix(".draft")
        draft.write_text(str(step))
        draft.replace(self._latest_file)

    @property
    def _latest_file(self) -> Path:
        return self.root / "latest"

    def _folder(self, step: int) -> Path:
        return self.root / f"step_{step:08d}"

    def _train_state_file(self, folder: Path) -> Path:
        return folder / f"train_state_{self.rank}.json"


def _sharded_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """The state dicts that DCP saves, and loads into; each rank holds its own shards."""
    model_state, optimizer_state = get_state_dict(model, optimizer)
    return {"model": model_state, "optimizer": optimizer_state}
