"""Layouts are told by their structure; what a library writes with the rest is missed, and what it may leave out is not.

The folders have the structure that the libraries give them, made by hand; `make test-layouts` has their own.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from collectivelint.runtime.checkpoint import show
from safetensors.torch import save_file

from .conftest import codes, looked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _save(file: Path, state: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)


def _trainer(root: Path) -> None:
    save_file({"w": torch.ones(4)}, root / "model.safetensors")
    _save(root / "optimizer.pt", {"state": {0: {"step": torch.tensor(10.0)}}})
    _save(root / "scheduler.pt", {"last_epoch": 10})
    (root / "trainer_state.json").write_text(json.dumps({"global_step": 10}))


def _accelerate(root: Path) -> None:
    save_file({"w": torch.ones(4)}, root / "model.safetensors")
    _save(root / "optimizer.bin", {"state": {0: {"step": torch.tensor(10.0)}}})
    _save(root / "scheduler.bin", {"last_epoch": 10})
    _save(root / "random_states_0.pkl", {"cpu": torch.get_rng_state()})


def _verl(root: Path) -> None:
    for rank in range(2):
        for kind in ("model", "optim", "extra_state"):
            _save(root / f"{kind}_world_size_2_rank_{rank}.pt", {"w": torch.ones(4) * rank})


def _torch_checkpointing(root: Path) -> None:
    """`torch_checkpointing` of Meta: a file of each item and rank, and metadata of what can be loaded by other numbers of ranks."""
    placed = {"type": "DTensorShardingMetadata", "data": {"global_shape": [5, 2], "dtype": "torch.float32"}}
    item = {
        "nested_path_to_metadata": {'["w"]': [{"sharding_metadata": placed, "ranks": (0, 1)}]},
        "rank_to_layout_info": {0: None, 1: None},
    }
    for rank in range(2):
        _save(root / f"model_{rank}.pt", {"w": torch.ones(3 - rank, 2) + rank})
        _save(root / f"optimizer_{rank}.pt", {"state": {"w": {"exp_avg": torch.ones(3 - rank, 2) + rank}}})
    _save(root / "metadata.pkl", {"metadata": {"model": item}, "world_size": 2, "version": "2.0"})


def _lightning(root: Path) -> None:
    dcp.save({"state_dict": {"w": torch.ones(4)}}, checkpoint_id=root, no_dist=True)
    _save(root / "meta.pt", {"pytorch-lightning_version": "2.6.6", "epoch": 1, "global_step": 10})


def _torch_dist(root: Path) -> None:
    dcp.save({"w": torch.ones(8)}, checkpoint_id=root, no_dist=True)
    (root / "metadata.json").write_text(json.dumps({"sharded_backend": "torch_dist", "common_backend": "torch"}))
    _save(root / "common.pt", {"iteration": 10})


def _megatron(root: Path) -> None:
    for rank in range(2):
        state = {"args": argparse.Namespace(tensor_model_parallel_size=2, world_size=2), "iteration": 10}
        _save(root / f"mp_rank_{rank:02d}" / "model_optim_rng.pt", {**state, "model": {"w": torch.ones(4) * rank}})


LAYOUTS: dict[Callable[[Path], None], str] = {
    _trainer: "transformers Trainer, safetensors",
    _accelerate: "accelerate, safetensors",
    _verl: "verl, FSDP (world size 2)",
    _torch_checkpointing: "torch_checkpointing (world size 2)",
    _lightning: "Lightning, torch.distributed.checkpoint",
    _torch_dist: "Megatron Core torch_dist",
    _megatron: "Megatron-LM (world size 2)",
}


@pytest.mark.parametrize("make", LAYOUTS, ids=lambda make: make.__name__)
def test_the_layout_is_named(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """Whatever its folder is called; of the same files without what tells it, another is."""
    root = tmp_path / "deepspeed_verl_lightning"
    root.mkdir()
    make(root)
    report = looked(root)
    assert report.problems == []
    assert str(report.layout) == LAYOUTS[make]
    assert f"Sound: {LAYOUTS[make]}, " in show.verdict(report)
    data, world_size = show.as_dict(report), 2 if "world size" in LAYOUTS[make] else None
    assert (data["layout"], data["world_size"]) == (LAYOUTS[make].partition(" (")[0], world_size)


def test_a_name_alone_tells_nothing(tmp_path: Path) -> None:
    root = tmp_path / "global_step10"
    root.mkdir()
    for name in ("mp_rank_00_model_states.pt", "model_optim_rng.pt", "pytorch_lightning.ckpt"):
        _save(root / name, {"w": torch.ones(3)})
    report = looked(root)
    assert report.layout is not None
    assert not any(word in report.layout.name for word in ("DeepSpeed", "Megatron", "Lightning"))


def _gone(*names: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        for form in names:
            for file in list(root.glob(form)):
                file.unlink()

    return remove


@pytest.mark.parametrize(
    ("make", "damage", "words"),
    [
        (_trainer, _gone("optimizer.pt"), "the Trainer writes it with scheduler.pt"),
        (_trainer, _gone("model.safetensors"), "no file has weights"),
        (_accelerate, _gone("optimizer.bin"), "accelerate writes it with its scheduler"),
        (_accelerate, _gone("model.safetensors"), "no file has weights"),
        (_verl, _gone("model_*"), "no file has weights"),
        (_torch_checkpointing, _gone("model_*"), "no file of rank 0, 1 of 2"),
        (_torch_checkpointing, _gone("model_1.pt"), "no file of rank 1 of 2"),
        (_torch_checkpointing, _gone("optimizer_0.pt"), "no file of rank 0 of 2"),
        (_lightning, _gone(".metadata", "__*"), "is alone: the shards that Lightning writes"),
        (_torch_dist, _gone(".metadata", "__*", "metadata.json"), "is alone: the shards that Megatron Core writes"),
        (_torch_dist, _gone("metadata.json"), "is missing beside common.pt"),
    ],
)
def test_a_kind_is_missing(
    tmp_path: Path, make: Callable[[Path], None], damage: Callable[[Path], None], words: str
) -> None:
    make(tmp_path)
    damage(tmp_path)
    report = looked(tmp_path)
    assert codes(report) == ["CK103"]
    assert [words in problem.text for problem in report.problems] == [True], report.problems


@pytest.mark.parametrize(
    ("make", "damage"),
    [
        # Weights are copied without the state of the training.
        (_trainer, _gone("optimizer.pt", "scheduler.pt", "trainer_state.json")),
        (_accelerate, _gone("optimizer.bin", "scheduler.bin", "random_states_0.pkl")),
        (_verl, _gone("optim_*", "extra_state_*")),
        (_torch_checkpointing, _gone("optimizer_*")),
    ],
)
def test_what_may_be_left_out(tmp_path: Path, make: Callable[[Path], None], damage: Callable[[Path], None]) -> None:
    make(tmp_path)
    damage(tmp_path)
    assert looked(tmp_path).problems == []


def test_an_optimizer_that_may_be_left_out_on_purpose(tmp_path: Path) -> None:
    _verl(tmp_path)
    _gone("optim_*")(tmp_path)
    assert [(p.severity, p.where) for p in looked(tmp_path).problems] == [("note", "optim_world_size_*")]


def test_a_description_that_was_cut_off(tmp_path: Path) -> None:
    _torch_dist(tmp_path)
    (tmp_path / "metadata.json").write_text('{"sharded_back')
    assert [(p.code, p.where) for p in looked(tmp_path).problems] == [("CK102", "metadata.json")]


def test_zero_without_its_optimizer(tmp_path: Path) -> None:
    """Only ZeRO's optimizer leaves the shapes of its parameters with the model."""
    state = {
        "module": {"w": torch.ones(3)},
        "dp_world_size": 2,
        "mp_world_size": 1,
        "global_samples": 8,
        "global_steps": 2,
    }
    _save(tmp_path / "mp_rank_00_model_states.pt", state)
    report = looked(tmp_path)
    assert (report.problems, str(report.layout)) == ([], "DeepSpeed (world size 2)")
    _save(tmp_path / "mp_rank_00_model_states.pt", {**state, "param_shapes": [{"w": torch.Size([3])}]})
    assert [problem.where for problem in looked(tmp_path).problems] == ["*_optim_states.pt"]


def test_shards_of_lightning_without_their_file(tmp_path: Path) -> None:
    """Lightning loads shards with `meta.pt` only; of others with some of these names nothing is missing."""
    dcp.save(
        {"state_dict": {"w": torch.ones(4)}, "optimizer_0": {"m": torch.ones(4)}}, checkpoint_id=tmp_path, no_dist=True
    )
    assert [(p.code, p.where) for p in looked(tmp_path).problems] == [("CK103", "meta.pt")]
    _save(tmp_path / "meta.pt", {"pytorch-lightning_version": "2.6.6"})
    assert looked(tmp_path).is_sound
    other = tmp_path.parent / "other"
    dcp.save(
        {"state_dict": {"w": torch.ones(4)}, "optimizer_0": {"m": torch.ones(4)}, "ema": torch.ones(4)},
        checkpoint_id=other,
        no_dist=True,
    )
    assert looked(other).is_sound
