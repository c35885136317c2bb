"""DeepSpeed's flat groups, made by hand as its library lays them out: rebuilt, and compared number by number.

`make test-layouts` does the same with checkpoints that DeepSpeed has written.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
import torch
from collectivelint.runtime.checkpoint.audit import opened
from collectivelint.runtime.checkpoint.checks.diff import compare
from collectivelint.runtime.checkpoint.checks.put_together import boxes
from collectivelint.runtime.checkpoint.checks.rank_files import alike

from .conftest import codes, looked

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

#: Two groups of parameters, of sizes that no number of ranks divides.
SHAPES = ({"embed": (13, 7), "up": (3, 5, 2)}, {"scale": (1,), "bias": (7,)})
FROZEN = {"frozen": (5, 3)}


def _numbers(count: int, begin: float) -> torch.Tensor:
    return torch.arange(count, dtype=torch.float32) + begin


def _weights(begin: float = 1.0) -> dict[str, torch.Tensor]:
    found = {}
    for shapes in (*SHAPES, FROZEN):
        for name, shape in shapes.items():
            found[name] = _numbers(math.prod(shape), begin).reshape(shape)
            begin += 1000
    return found


def _cut(vector: torch.Tensor, ranks: int) -> list[torch.Tensor]:
    part = -(-len(vector) // ranks)
    return [
        torch.nn.functional.pad(vector, (0, part * ranks - len(vector)))[r * part : (r + 1) * part]
        for r in range(ranks)
    ]


def _parts(weights: dict[str, torch.Tensor], stage: int, ranks: int, padding: int = 0) -> list[list[torch.Tensor]]:
    """The flat tensors of each rank, by group."""
    if stage == 3:
        flat = [
            torch.cat([_cut(weights[name].flatten(), ranks)[rank] for group in SHAPES for name in group])
            for rank in range(ranks)
        ]
        # Sub-groups end anywhere.
        return [[vector[:20].clone(), vector[20:].clone()] for vector in flat]
    found: list[list[torch.Tensor]] = [[] for _ in range(ranks)]
    for group in SHAPES:
        vector = torch.cat([torch.nn.functional.pad(weights[name].flatten(), (0, padding)) for name in group])
        whole = -(-len(vector) // (2 * ranks)) * 2 * ranks
        lean = torch.nn.functional.pad(vector, (0, whole - len(vector))).chunk(ranks)
        for rank in range(ranks):
            # The values are saved without what pads the last part.
            end = len(vector) - rank * whole // ranks
            found[rank].append(lean[rank][: max(0, end)].clone())
    return found


def zero(
    root: Path,
    stage: int,
    ranks: int = 2,
    padding: int = 0,
    weights: dict[str, torch.Tensor] | None = None,
    model_rank: int = 0,
    model_ranks: int = 1,
) -> Path:
    """A checkpoint of ZeRO, as far as one rank of the model writes it."""
    weights = weights or _weights()
    step, place = root / "global_step2", f"mp_rank_{model_rank:02d}"
    step.mkdir(parents=True, exist_ok=model_rank > 0)
    model: dict[str, Any] = {
        "param_shapes": [{name: torch.Size(shape) for name, shape in group.items()} for group in SHAPES],
        "frozen_param_shapes": {name: torch.Size(shape) for name, shape in FROZEN.items()},
        "shared_params": {"head": "embed"}, "buffer_names": ["shift"], "optimizer": None,
        "dp_world_size": ranks, "mp_world_size": model_ranks, "global_steps": 2, "global_samples": 8,
    }  # fmt: skip
    names = [*(name for group in SHAPES for name in group), "head"]
    module = {name: torch.empty(0) if stage == 3 else weights.get(name, weights["embed"]).bfloat16() for name in names}
    shift = torch.arange(5.0)
    for rank in range(ranks if stage == 3 else 1):
        fragments = {n: _cut(weights[n].flatten(), ranks)[rank].clone() if stage == 3 else weights[n] for n in FROZEN}
        of = f"zero_pp_rank_{rank}_{place}" if stage == 3 else place
        state = {**model, "module": {**module, "shift": shift}, "frozen_param_fragments": fragments}
        torch.save(state, step / f"{of}_model_states.pt")
    parts, moments = (_parts({n: w * f for n, w in weights.items()}, stage, ranks, padding) for f in (1, 2))
    for rank in range(ranks):
        states = {g: {"step": torch.tensor(2.0), "exp_avg": moments[rank][g]} for g in range(2)}
        count: Any = ranks if stage == 3 else [ranks, ranks]
        key = "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups"
        inner = "optimizer_state_dict" if stage == 3 else "base_optimizer_state"
        optimizer = {"zero_stage": stage, "partition_count": count, key: parts[rank], inner: {"state": states}}
        if padding:
            optimizer["param_alignment_paddings"] = [[padding] * len(group) for group in SHAPES]
        torch.save({"optimizer_state_dict": optimizer}, step / f"zero_pp_rank_{rank}_{place}_optim_states.pt")
    (root / "latest").write_text("global_step2")
    return root


def _whole(file: Path, **changed: torch.Tensor) -> Path:
    weights = _weights()
    torch.save({**weights, "head": weights["embed"], "shift": torch.arange(5.0), **changed}, file)
    return file


CASES = [(1, 2, 0), (2, 3, 0), (2, 2, 3), (3, 1, 0), (3, 2, 0), (3, 3, 0)]


@pytest.mark.parametrize(("stage", "ranks", "padding"), CASES)
def test_each_stage_is_what_it_was_made_of(tmp_path: Path, stage: int, ranks: int, padding: int) -> None:
    root = zero(tmp_path / "zero", stage, ranks, padding)
    report = looked(root, consolidated=_whole(tmp_path / "whole.bin"))
    assert (report.problems, report.coverage.unread) == ([], [])
    assert str(report.layout) == f"DeepSpeed ZeRO-{stage} (world size {ranks})"


@pytest.mark.parametrize(("stage", "ranks", "padding"), CASES)
def test_one_number_is_another(tmp_path: Path, stage: int, ranks: int, padding: int) -> None:
    up = _weights()["up"].clone()
    up[2, 3, 1] += 4
    root = zero(tmp_path / "zero", stage, ranks, padding)
    report = looked(root, consolidated=_whole(tmp_path / "whole.bin", up=up))
    assert [(problem.code, problem.where) for problem in report.problems] == [("CK302", "up")]
    assert "1 of 30 elements differ, by at most 4, the first at [2, 3, 1]" in report.problems[0].text


def _differences(first: Path, second: Path) -> list[tuple[str, str]]:
    with opened(first) as (one, _), opened(second) as (two, _):
        return [(item.kind, item.first) for item in compare(*alike(one, two))]


def test_stages_and_numbers_of_ranks_are_compared(tmp_path: Path) -> None:
    first = zero(tmp_path / "a", 3, 3)
    assert _differences(first, zero(tmp_path / "b", 2, 2)) == []
    changed = _weights()
    changed["bias"] = changed["bias"] + 1
    assert _differences(first, zero(tmp_path / "c", 1, 2, weights=changed)) == [
        ("values", "bias"),
        ("values", "optimizer: optimizer.state.bias.exp_avg"),
    ]


def _change(file: Path, change: Any) -> None:
    state = torch.load(file, weights_only=False)
    change(state.get("optimizer_state_dict", state))
    torch.save(state, file)


def _errors(root: Path) -> list[tuple[str, str]]:
    return [(problem.code, problem.where) for problem in looked(root).problems if problem.severity == "error"]


@pytest.mark.parametrize("stage", [2, 3])
def test_flat_groups_of_another_size(tmp_path: Path, stage: int) -> None:
    root = zero(tmp_path / "zero", stage)
    key = "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups"
    file = root / "global_step2" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    _change(file, lambda state: state[key].__setitem__(1, state[key][1][:-2].clone()))
    assert codes(looked(root)) == ["CK201"]
    _change(file, lambda state: state[key].__setitem__(1, torch.ones(90)))
    assert codes(looked(root)) == ["CK202"]


@pytest.mark.parametrize("stage", [1, 3])
@pytest.mark.parametrize("rank", [0, 1])
def test_the_flat_groups_of_a_rank_are_missing(tmp_path: Path, stage: int, rank: int) -> None:
    """Of two files one is left; the states of the model say how many there are."""
    root = zero(tmp_path / "zero", stage)
    (root / "global_step2" / f"zero_pp_rank_{rank}_mp_rank_00_optim_states.pt").unlink()
    problems = looked(root).problems
    assert [problem.code for problem in problems] == ["CK103"]
    assert f"no file of pp_rank {rank} of 2 (" in problems[0].text


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_a_rank_has_a_flat_group_fewer(tmp_path: Path, stage: int) -> None:
    root = zero(tmp_path / "zero", stage)
    key = "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups"
    _change(root / "global_step2" / "zero_pp_rank_1_mp_rank_00_optim_states.pt", lambda state: state[key].pop())
    assert _errors(root) == [("CK103", f"optimizer_state_dict.{key}.1")]
    assert "is missing from the file of rank 1, and" in looked(root).problems[0].text


@pytest.mark.parametrize("stage", [1, 2])
def test_a_flat_group_is_on_no_rank(tmp_path: Path, stage: int) -> None:
    root = zero(tmp_path / "zero", stage)
    for file in (root / "global_step2").glob("*optim_states.pt"):
        _change(file, lambda state: state["single_partition_of_fp32_groups"].pop())
    assert _errors(root) == [("CK103", "flat group 1")]
    assert "the fp32 values of `scale` and 1 more" in looked(root).problems[0].text


def test_a_flat_group_without_parameters(tmp_path: Path) -> None:
    """A group in which all is frozen has neither elements nor shapes, and keeps its number."""
    root = zero(tmp_path / "zero", 2)
    model = root / "global_step2" / "mp_rank_00_model_states.pt"
    _change(model, lambda state: state["param_shapes"].insert(1, {}))
    for file in (root / "global_step2").glob("*optim_states.pt"):
        _change(file, lambda state: state["single_partition_of_fp32_groups"].insert(1, torch.empty(0)))
    assert looked(root, consolidated=_whole(tmp_path / "whole.bin")).problems == []
    _change(model, lambda state: state["param_shapes"].pop())
    report = looked(root)
    assert codes(report) == ["CK202"]
    assert "flat group 2 has 8 elements, and param_shapes names the parameters of 1 groups" in report.problems[0].text


@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("count", [0, 3])
def test_a_fragment_of_a_frozen_parameter_is_short(tmp_path: Path, rank: int, count: int) -> None:
    root = zero(tmp_path / "zero", 3)
    file = root / "global_step2" / f"zero_pp_rank_{rank}_mp_rank_00_model_states.pt"
    _change(file, lambda state: state["frozen_param_fragments"].update(frozen=torch.ones(count)))
    assert _errors(root) == [("CK201", "frozen")]
    _change(file, lambda state: state["frozen_param_fragments"].clear())
    assert _errors(root) == [("CK103", "frozen_param_fragments.frozen")]
    file.unlink()
    assert codes(looked(root)) == ["CK103"]


@pytest.mark.parametrize("stage", [2, 3])
def test_the_moments_of_a_rank(tmp_path: Path, stage: int) -> None:
    root = zero(tmp_path / "zero", stage)
    inner = "optimizer_state_dict" if stage == 3 else "base_optimizer_state"
    file = root / "global_step2" / "zero_pp_rank_1_mp_rank_00_optim_states.pt"
    name = f"optimizer_state_dict.{inner}.state.0.exp_avg"
    _change(file, lambda state: state[inner]["state"][0].update(exp_avg=torch.ones(3)))
    assert _errors(root) == [("CK202", name)]
    assert "has 3 elements on rank 1, and flat group 0 has" in looked(root).problems[0].text
    _change(file, lambda state: state[inner]["state"].pop(0))
    assert _errors(root) == [("CK103", name)]


@pytest.mark.parametrize("stage", [2, 3])
def test_moments_that_are_short_on_all_ranks(tmp_path: Path, stage: int) -> None:
    """Those of torch's own optimizers have the length of the values, whatever other ranks have."""
    root = zero(tmp_path / "zero", stage)
    inner = "optimizer_state_dict" if stage == 3 else "base_optimizer_state"
    for file in sorted((root / "global_step2").glob("*optim_states.pt")):
        _change(file, lambda state: state[inner]["state"][0].update(exp_avg=torch.ones(3)))
    name = f"optimizer_state_dict.{inner}.state.0.exp_avg"
    assert _errors(root) == [("CK202", name)] * 2
    for file in sorted((root / "global_step2").glob("*optim_states.pt")):
        _change(file, lambda state: state[inner]["state"][0].update(exp_avg=torch.empty(0)))
    assert _errors(root) == []


@pytest.mark.parametrize("stage", [2, 3])
def test_states_that_do_not_lie_as_the_values(tmp_path: Path, stage: int) -> None:
    """A scale of each block, moments that lie elsewhere, or a state of one group only."""
    root = zero(tmp_path / "zero", stage)
    inner = "optimizer_state_dict" if stage == 3 else "base_optimizer_state"
    for rank, file in enumerate(sorted((root / "global_step2").glob("*optim_states.pt"))):
        state = {"absmax": torch.ones(3 - rank), "elsewhere": torch.empty(0), "max_exp_avg": torch.ones(100)}
        _change(file, lambda found, state=state: found[inner]["state"][0].update(state))
    assert looked(root).problems == []


@pytest.mark.parametrize(
    "shapes",
    [
        [{"up": torch.Size([3, 1 << 40])}],
        [{"up": (1,) * 5000}],
        [{"up": (-1, 5)}, {}],
        {"9" * 5000: {"up": torch.Size([3])}, "\u00b2": {"up": torch.Size([2])}},
        [],
    ],
)
@pytest.mark.parametrize("stage", [2, 3])
def test_sizes_that_make_no_sense(tmp_path: Path, stage: int, shapes: Any) -> None:
    """Whatever a file says, there is a verdict."""
    root = zero(tmp_path / "zero", stage)
    for file in (root / "global_step2").glob("*model_states.pt"):
        torch.save({**torch.load(file), "param_shapes": shapes}, file)
    assert looked(root, consolidated=_whole(tmp_path / "whole.bin")).checkpoint is not None


def _universal(root: Path) -> Path:
    """As `ds_to_universal` makes it of stage 3: flat, a folder for each parameter."""
    weights = _weights()
    zero(root / "from", 3)
    step = root / "made" / "global_step2_universal"
    for name in (name for group in SHAPES for name in group):
        folder = step / "zero" / name
        folder.mkdir(parents=True)
        torch.save(weights[name].flatten(), folder / "fp32.pt")
        torch.save(weights[name].flatten() * 2, folder / "exp_avg.pt")
    torch.save({"param_groups": []}, step / "zero" / "optimizer_state.pt")
    for file in (root / "from" / "global_step2").glob("*model_states.pt"):
        (step / file.name).write_bytes(file.read_bytes())
    (root / "made" / "latest_universal").write_text(step.name)
    return root / "made"


def test_universal(tmp_path: Path) -> None:
    made = _universal(tmp_path)
    report = looked(made, consolidated=_whole(tmp_path / "whole.bin"))
    assert (report.problems, report.coverage.unread) == ([], [])
    assert str(report.layout) == "DeepSpeed universal"
    assert _differences(made, zero(tmp_path / "again", 1)) == []
    step = made / "global_step2_universal"
    for name in ("zero/optimizer_state.pt", "zero_pp_rank_0_mp_rank_00_model_states.pt"):
        data = (step / name).read_bytes()
        (step / name).unlink()
        assert codes(looked(made)) == ["CK103"]
        (step / name).write_bytes(data)
    data = (step / "zero" / "up" / "exp_avg.pt").read_bytes()
    for empty in ({}, {"other": torch.ones(30)}):
        torch.save(empty, step / "zero" / "up" / "exp_avg.pt")
        assert _errors(made) == [("CK103", "zero/up/exp_avg.pt")]
    (step / "zero" / "up" / "exp_avg.pt").write_bytes(data)
    assert looked(made).problems == []
    (step / "zero" / "up" / "exp_avg.pt").unlink()
    assert "lacks exp_avg.pt" in looked(made).problems[0].text
    (step / "zero" / "up" / "fp32.pt").unlink()
    report = looked(made)
    assert codes(report) == ["CK103"]
    assert any("the states of the model name that parameter" in problem.text for problem in report.problems)


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2, 3, 4), (2, 1, 3, 2)])
def test_boxes_are_runs_in_order(shape: tuple[int, ...]) -> None:
    """The boxes of every run are its elements, each once and in order, in few boxes."""
    count = math.prod(shape)
    places = torch.arange(count).reshape(shape)
    for begin in range(count):
        for end in range(begin + 1, count + 1):
            found = list(boxes(shape, begin, end))
            seen = [
                places[tuple(slice(o, o + n) for o, n in zip(offsets, sizes, strict=True))].flatten()
                for offsets, sizes in found
            ]
            assert torch.cat(seen).tolist() == list(range(begin, end))
            assert len(found) <= max(1, 2 * len(shape) - 1)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_ranks_of_the_model(tmp_path: Path, stage: int) -> None:
    """Each has its own parameters and flat groups, which have to hold them."""
    root = tmp_path / "zero"
    for rank in range(2):
        zero(root, stage, weights=_weights(1.0 + 5000 * rank), model_rank=rank, model_ranks=2)
    report = looked(root)
    assert (report.problems, report.coverage.unread) == ([], [])
    file = root / "global_step2" / "zero_pp_rank_1_mp_rank_01_optim_states.pt"
    good = file.read_bytes()
    key = "fp32_flat_groups" if stage == 3 else "single_partition_of_fp32_groups"
    # What it lacks at its end no other file has.
    _change(file, lambda state: state[key].__setitem__(0, state[key][0][:-9].clone()))
    problems = [problem for problem in looked(root).problems if problem.severity == "error"]
    assert {problem.code for problem in problems} == {"CK201"}
    assert all(problem.text.endswith("(mp_rank 1)") for problem in problems)
    file.write_bytes(good)
    _change(file, lambda state: state[key].pop())
    assert ("CK103", f"optimizer_state_dict.{key}.1") in _errors(root)


def test_one_file_is_not_made_of_several_ranks_of_the_model(tmp_path: Path) -> None:
    """It is compared with one of them, and the others have other values."""
    for rank in range(2):
        zero(tmp_path / "zero", 2, weights=_weights(1.0 + 5000 * rank), model_rank=rank, model_ranks=2)
    report = looked(tmp_path / "zero", consolidated=_whole(tmp_path / "whole.bin"))
    errors = [problem for problem in report.problems if problem.severity == "error"]
    assert {problem.code for problem in errors} == {"CK302"}
    assert "the 2 ranks hold different values of [13, 7]" in next(p.text for p in errors if p.where == "embed")
