"""Files that belong together, whatever a framework calls them: one that is missing, cut off or of another step is one error."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from collectivelint.runtime.checkpoint.formats.names import families
from safetensors.torch import save_file

from .conftest import looked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _save(file: Path, **state: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, file)


def _zero(root: Path, world: int = 2) -> None:
    """ZeRO stage 3: placeholders and flat groups, and a file that names the folder."""
    for rank in range(world):
        step = root / "global_step10"
        of = f"zero_pp_rank_{rank}_mp_rank_00"
        _save(step / f"{of}_model_states.pt", module={"w": torch.empty(0)}, dp_world_size=world, global_steps=10)
        optimizer = {"state": {0: {"step": torch.tensor(10.0), "exp_avg": torch.ones(3)}}}
        flat = {"partition_count": world, "fp32_flat_groups": [torch.ones(3)], "optimizer_state_dict": optimizer}
        _save(step / f"bf16_{of}_optim_states.pt", optimizer_state_dict=flat)
    (root / "latest").write_text("global_step10")


def _megatron(root: Path, tensor: int = 2, pipeline: int = 2) -> None:
    args = argparse.Namespace(tensor_model_parallel_size=tensor, pipeline_model_parallel_size=pipeline)
    for t in range(tensor):
        for p in range(pipeline):
            file = root / "iter_0000100" / f"mp_rank_{t:02d}_{p:03d}" / "model_optim_rng.pt"
            _save(file, args=args, iteration=100, model={"w": torch.ones(4) * t})
    (root / "latest_checkpointed_iteration.txt").write_text("100\n")


def _world_size(root: Path, world: int = 2) -> None:
    for rank in range(world):
        for kind in ("model", "optim", "extra_state"):
            _save(root / f"{kind}_world_size_{world}_rank_{rank}.pt", w=torch.ones(4) * rank)


def _accelerate(root: Path, world: int = 2) -> None:
    dcp.save({"model": {"w": torch.ones(8)}}, checkpoint_id=root / "pytorch_model_fsdp_0", no_dist=True)
    dcp.save({"optim": {"lr": torch.ones(1)}}, checkpoint_id=root / "optimizer_0", no_dist=True)
    for rank in range(world):
        _save(root / f"random_states_{rank}.pkl", step=7, cpu=torch.get_rng_state())


def _distributed_optimizer(root: Path) -> None:
    dcp.save({"w": torch.ones(8)}, checkpoint_id=root, no_dist=True)
    (root / "metadata.json").write_text(json.dumps({"sharded_backend": "torch_dist", "common_backend": "torch"}))
    _save(root / "common.pt", iteration=10)


def _trainer(root: Path) -> None:
    save_file({"w": torch.ones(4)}, root / "model.safetensors")
    _save(root / "optimizer.pt", state={0: {"step": torch.tensor(10.0)}})
    for rank in range(3):
        _save(root / f"rng_state_{rank}.pth", cpu=torch.get_rng_state())
    (root / "trainer_state.json").write_text(json.dumps({"global_step": 10}))


LAYOUTS = {f.__name__: f for f in (_zero, _megatron, _world_size, _accelerate, _distributed_optimizer, _trainer)}


@pytest.mark.parametrize("name", LAYOUTS)
def test_whole_ones(tmp_path: Path, name: str) -> None:
    root = tmp_path / "checkpoint-10"
    root.mkdir()
    LAYOUTS[name](root)
    report = looked(root)
    assert report.problems == []
    assert report.is_complete
    assert report.coverage.files == report.coverage.files_read > 0


def _gone(*names: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        for name in names:
            (root / name).unlink()

    return remove


def _cut(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:700]) and None


def _emptied(name: str) -> Callable[[Path], None]:
    def remove(root: Path) -> None:
        for file in (root / name).iterdir():
            file.unlink()

    return remove


def _changed(name: str, **state: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        found = torch.load(root / name, weights_only=False)
        torch.save(found | state, root / name)

    return change


Z, M = "global_step10/zero_pp_rank_{}_mp_rank_00_model_states.pt", "iter_0000100/mp_rank_{}/model_optim_rng.pt"
OPTIM = "global_step10/bf16_zero_pp_rank_1_mp_rank_00_optim_states.pt"


@pytest.mark.parametrize(
    ("layout", "damage", "code", "words"),
    [
        ("_zero", _gone(Z.format(1)), "CK103", "no file of pp_rank 1 of 2 ("),
        ("_zero", _gone(OPTIM), "CK103", "no file of pp_rank 1 of 2 ("),
        ("_zero", _gone(Z.format(1), OPTIM), "CK103", "no file of pp_rank 1 of 2 ("),
        ("_zero", _gone(Z.format(0)), "CK103", "no file of pp_rank 0 of 2 ("),
        ("_zero", _cut(OPTIM), "CK102", "cut off"),
        ("_zero", _gone("latest"), "", ""),
        ("_zero", lambda root: (root / "latest").write_text("global_step20"), "CK103", "names `global_step20`, which is not"),
        ("_zero", lambda root: (root / "latest").write_text(""), "CK103", "is empty"),
        ("_zero", _changed(Z.format(1), global_steps=5), "CK205", "its `global_steps` is 5, 10 in"),
        ("_megatron", _gone(M.format("01_001")), "CK103", "no file of mp_rank 1, second number of mp_rank 1"),
        ("_megatron", _gone(M.format("01_000"), M.format("01_001")), "CK103", "no file of mp_rank 1 of 2 (tensor_model"),
        ("_megatron", _changed(M.format("01_001"), iteration=50), "CK205", "its `iteration` is 50, 100 in"),
        ("_world_size", _gone("model_world_size_2_rank_1.pt"), "CK103", "no file of rank 1 of 2 (by its name)"),
        ("_world_size", _gone("extra_state_world_size_2_rank_0.pt"), "CK103", "no file of rank 0 of 2 (by its name)"),
        ("_accelerate", _gone("random_states_0.pkl"), "CK103", "no file of random_states 0"),
        ("_accelerate", _changed("random_states_1.pkl", step=6), "CK205", "its `step` is 6, 7 in"),
        ("_accelerate", _emptied("optimizer_0"), "CK103", "is missing or empty, and there is pytorch_model_fsdp_0"),
        ("_accelerate", _gone("optimizer_0/.metadata"), "CK101", "no .metadata"),
        ("_distributed_optimizer", _gone("common.pt"), "CK103", "is missing: metadata.json says"),
        ("_trainer", _gone("rng_state_1.pth"), "CK103", "no file of rng_state 1, though there is one of rng_state 2"),
        ("_trainer", lambda root: (root / "trainer_state.json").write_text('{"global_step": 4}'), "CK205", "step 4"),
    ],
)  # fmt: skip
def test_one_cause_is_one_error(
    tmp_path: Path, layout: str, damage: Callable[[Path], object], code: str, words: str
) -> None:
    root = tmp_path / "checkpoint-10"
    root.mkdir()
    LAYOUTS[layout](root)
    damage(root)
    problems = looked(root).problems
    assert [problem.code for problem in problems] == [code] * bool(code), problems
    assert all(words in problem.text for problem in problems), problems


def test_files_of_another_world_size(tmp_path: Path) -> None:
    _world_size(tmp_path, 2)
    (tmp_path / "model_world_size_2_rank_1.pt").rename(tmp_path / "model_world_size_2_rank_5.pt")
    assert {problem.code for problem in looked(tmp_path).problems} == {"CK103", "CK205"}


def test_placeholders_without_their_values(tmp_path: Path) -> None:
    _zero(tmp_path, 1)
    _save(
        tmp_path / "global_step10/zero_pp_rank_0_mp_rank_00_model_states.pt", module=dict.fromkeys("ab", torch.empty(0))
    )
    assert looked(tmp_path).problems == []
    _gone("global_step10/bf16_zero_pp_rank_0_mp_rank_00_optim_states.pt")(tmp_path)
    assert ["placeholders" in problem.text for problem in looked(tmp_path).problems] == [True]


@pytest.mark.parametrize(
    "names",
    [
        ("lora_rank_8.pt", "lora_rank_64.pt"),
        ("epoch_0.pt", "epoch_3.pt", "epoch_4.pt"),
        ("step_100.pt", "step_300.pt"),
        ("fp16.pt", "fp32.pt"),
        ("layer_00-model.pt", "layer_02-model.pt", "layer_03-model.pt"),
        ("v1.pt", "v3.pt", "v4.pt"),
        ("model-20260101.pt", "model-20260301.pt"),
    ],
)
def test_numbers_that_count_nothing(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        torch.save({"w": torch.ones(2)}, tmp_path / name)
    assert families(names) == []
    report = looked(tmp_path)
    assert (report.problems, report.coverage.files_read) == ([], len(names))


def test_a_folder_is_of_the_step_that_its_name_says(tmp_path: Path) -> None:
    _save(tmp_path / "global_step20" / "model.pt", w=torch.ones(3), global_step=10)
    assert [problem.code for problem in looked(tmp_path / "global_step20").problems] == ["CK205"]
    (tmp_path / "global_step20").rename(tmp_path / "global_step10")
    assert looked(tmp_path / "global_step10").problems == []
