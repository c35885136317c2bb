"""ShardedTensors in a file for each rank, as FSDP1 makes them: by a job of two ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from ..conftest import JOBS, run, torchrun
from .conftest import codes, looked

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`local` with the flat parameters of each rank, `sharded` with its shards of each tensor, and `whole.pt`."""
    folder = tmp_path_factory.mktemp("fsdp1")
    ran = run([*torchrun(2), str(JOBS / "sharded_tensors.py"), str(folder)], folder, folder)
    assert ran.code == 0, ran.err
    return folder


def test_shards_are_put_together(saved: Path, tmp_path: Path) -> None:
    report = looked(saved / "sharded", consolidated=saved / "whole.pt")
    assert (report.problems, report.coverage.unread) == ([], [])
    state = torch.load(saved / "whole.pt")
    state["0.weight"][4, 6] += 2
    torch.save(state, tmp_path / "wrong.pt")
    problems = looked(saved / "sharded", consolidated=tmp_path / "wrong.pt").problems
    assert [(problem.code, problem.where) for problem in problems] == [("CK302", "0.weight")]
    assert "1 of 35 elements differ, by at most 2, the first at [4, 6]" in problems[0].text


@pytest.mark.parametrize("kind", ["local", "sharded"])
@pytest.mark.parametrize("rank", [0, 1])
def test_the_file_of_a_rank_is_missing(saved: Path, tmp_path: Path, kind: str, rank: int) -> None:
    """One file is left, and says of how many it is one."""
    (tmp_path / "left").mkdir()
    name = f"rank_{1 - rank}_model.pt"
    (tmp_path / "left" / name).write_bytes((saved / kind / name).read_bytes())
    report = looked(tmp_path / "left")
    assert codes(report) == ["CK103"]
    assert f"no file has the shards of rank {rank}" in report.problems[0].text
    assert looked(saved / kind).problems == []


def test_flat_parameters_are_named(saved: Path) -> None:
    report = looked(saved / "local", consolidated=saved / "whole.pt")
    assert str(report.layout) == "FSDP1 flat parameters, a file for each rank"
    assert report.problems == []
    assert ["cannot be compared" in item.why for item in report.coverage.unread] == [True]


def _by_hand(folder: Path, rows: int = 4, offset: int = 2, shard: tuple[int, ...] = (2, 3)) -> Path:
    """A ShardedTensor of 4 x 3 on two ranks, as its state is pickled."""
    folder.mkdir()
    placed = [
        {"shard_offsets": [begin, 0], "shard_sizes": [2, 3], "placement": {"_rank": rank}}
        for rank, begin in enumerate((0, offset))
    ]
    for rank, metadata in enumerate(placed):
        local = [{"tensor": torch.ones(shard), "metadata": metadata}]
        state = {"w": [local, {"shards_metadata": placed, "size": torch.Size((rows, 3))}]}
        torch.save(state, folder / f"rank_{rank}_model.pt")
    return folder


def test_shards_tile_their_tensor(tmp_path: Path) -> None:
    sound = _by_hand(tmp_path / "sound")
    assert looked(sound).problems == []
    # A stage of a pipeline with a tensor of that name.
    metadata = {"shard_offsets": [0, 0], "shard_sizes": [5, 7], "placement": {"_rank": 2}}
    local = [{"tensor": torch.ones(5, 7), "metadata": metadata}]
    torch.save({"w": [local, {"shards_metadata": [metadata], "size": torch.Size((5, 7))}]}, sound / "rank_2_model.pt")
    assert codes(looked(sound)) == []
    for number, (rows, offset, text) in enumerate(
        [(40, 2, "no chunk has [4:40, :]"), (4, 1, "overlap"), (3, 2, "does not lie in [3, 3]")]
    ):
        problems = looked(_by_hand(tmp_path / str(number), rows, offset)).problems
        assert [(problem.code, problem.where) for problem in problems] == [("CK201", "w")]
        assert text in problems[0].text


@pytest.mark.parametrize("shard", [(1, 3), (6,)])
def test_a_shard_has_other_sizes_than_its_file_says(tmp_path: Path, shard: tuple[int, ...]) -> None:
    report = looked(_by_hand(tmp_path / "shards", shard=shard))
    assert codes(report) == ["CK202"]
    assert f"has {list(shard)} where its file says that the shard has [2, 3]" in report.problems[0].text
