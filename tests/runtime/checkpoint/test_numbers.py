"""How many elements differ, and by how much: counted over all chunks; what has no counterpart cannot be compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors.torch import save_file

from .conftest import looked
from .test_cli import run
from .test_unusual import _shards

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def test_over_all_chunks(tmp_path: Path) -> None:
    weight = torch.randn(16, 8)
    other = weight.clone()
    other[1, 3] += 0.001
    other[8:12] += 1000.0
    _shards(tmp_path / "one", w=list(weight.split(4)))
    _shards(tmp_path / "two", w=list(other.split(8)))
    code, out, _ = run("diff", tmp_path / "one", tmp_path / "two")
    assert code == 1
    assert out.startswith("values              w: 33 of 128 elements differ, by at most 1e+03, the first at [1, 3]\n")
    assert "compared by equal names" in out
    save_file({"w": other}, tmp_path / "model.safetensors")
    (problem,) = looked(tmp_path / "one", consolidated=tmp_path / "model.safetensors").problems
    assert "33 of 128 elements differ, by at most 1e+03" in problem.text


@pytest.mark.parametrize(
    ("dtype", "change", "words"),
    [
        (
            torch.float32,
            lambda t: t.view(-1)[5].fill_(7.0),
            "1 of 256 elements differ, by at most 7, the first at [0, 5]",
        ),
        (torch.bfloat16, lambda t: t[3].fill_(2.0), "16 of 256 elements differ, by at most 2, the first at [3, 0]"),
        (torch.int64, lambda t: t[0, 0].fill_(2**60), "1 of 256 elements differ, by at most 1.15e+18"),
        (torch.bool, lambda t: t[0].fill_(True), "16 of 256 elements differ, the first"),
        (torch.float32, lambda t: t[0].fill_(float("nan")), "16 of them are NaN on one side"),
        (torch.float32, lambda t: t[0].fill_(-0.0), "16 of 256 elements are equal, and differ in their bits"),
        (torch.uint16, lambda t: t[0].fill_(9), "16 of 256 elements differ, the first at [0, 0]"),
        (torch.complex64, lambda t: t[0].fill_(3 + 4j), "16 of 256 elements differ, by at most 5,"),
    ],
)
def test_each_dtype(tmp_path: Path, dtype: torch.dtype, change: object, words: str) -> None:
    first = {"w": torch.zeros(16, 16, dtype=dtype)}
    torch.save(first, tmp_path / "one.pt")
    assert callable(change)
    second = {"w": first["w"].clone()}
    change(second["w"])
    save_file(second, tmp_path / "two.safetensors")
    assert words in run("diff", tmp_path / "one.pt", tmp_path / "two.safetensors")[1]
    dcp.save(first, checkpoint_id=tmp_path / "saved", no_dist=True)
    (problem,) = [
        p for p in looked(tmp_path / "saved", consolidated=tmp_path / "two.safetensors").problems if p.code == "CK302"
    ]
    assert words in problem.text


def test_by_which_names(tmp_path: Path) -> None:
    torch.save({"module": {"a.w": torch.ones(3), "b.w": torch.zeros(3)}}, tmp_path / "one.pt")
    save_file({"a.w": torch.ones(3), "b.w": torch.zeros(3)}, tmp_path / "two.safetensors")
    code, out, _ = run("diff", tmp_path / "one.pt", tmp_path / "two.safetensors")
    assert code == 0
    assert "compared `module.a.w` of the first as `a.w` of the second" in out


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    whole = {"a.w": torch.ones(3), "b.w": torch.zeros(3)}
    save_file(whole, tmp_path / "model.safetensors")
    for name, state in {
        "flat": {"_fsdp_wrapped_module.flat_param": torch.ones(6)},
        "other": {"z": torch.ones(2)},
    }.items():
        torch.save(state, tmp_path / f"{name}.pt")
        code, out, _ = run("diff", tmp_path / f"{name}.pt", tmp_path / "model.safetensors")
        assert code == 2
        assert out.startswith("cannot be compared  all tensors: none of 1 names is among the 2 of the other")
        assert "differ" not in out
    torch.save({name: torch.empty(0) for name in whole}, tmp_path / "empty.pt")
    code, out, _ = run("diff", tmp_path / "empty.pt", tmp_path / "model.safetensors")
    assert code == 1
    assert out.count("cannot be compared  ") == 2
    report = looked(tmp_path / "empty.pt", consolidated=tmp_path / "model.safetensors")
    assert report.is_sound
    assert "2 of 2 tensors cannot be compared" in report.coverage.unread[0].why


def test_other_parts_are_compared_too(tmp_path: Path) -> None:
    for name, lr in (("one", 1.0), ("two", 2.0)):
        (tmp_path / name).mkdir()
        save_file({"w": torch.ones(4)}, tmp_path / name / "model.safetensors")
        torch.save({"state": {0: {"exp_avg": torch.full((4,), lr)}}}, tmp_path / name / "optimizer.pt")
    code, out, _ = run("diff", tmp_path / "one", tmp_path / "two")
    assert code == 1
    assert "optimizer.pt: state.0.exp_avg: 4 of 4 elements differ, by at most 1" in out
    assert "1 tensor is the same, 1 difference, compared" in out
    code, out, _ = run("diff", tmp_path / "one", tmp_path / "one")
    assert code == 0
    assert "2 tensors are the same, 0 differences" in out
