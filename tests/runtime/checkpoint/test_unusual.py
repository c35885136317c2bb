"""Checkpoints that are right in ways one does not think of first: found by people who tried to raise false alarms."""

from __future__ import annotations

import argparse
import collections
import datetime as dt
import enum
import functools
import pathlib
import re
import zoneinfo
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import torch.distributed.checkpoint as dcp
from collectivelint.runtime.checkpoint.audit import opened
from collectivelint.runtime.checkpoint.checks import manifest
from collectivelint.runtime.checkpoint.checks.diff import compare
from safetensors.torch import save_file

from .conftest import codes, looked

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Mode(enum.Enum):
    FAST = 1


class Outer:
    class Inner:
        def method(self) -> None:
            """Saved as `getattr(instance, "method")`."""


@pytest.mark.parametrize(
    "extra",
    [
        np.float64(3.0),
        np.arange(4),
        np.random.default_rng(0).bit_generator.state,
        collections.Counter([1, 1]),
        argparse.Namespace(path=pathlib.Path("x"), when=dt.date(2026, 1, 1)),
        collections.defaultdict(list, {"a": [1]}),
        functools.partial(max, 1),
        Outer.Inner(),
        Outer.Inner().method,
        {1, 2},
        frozenset({3}),
        bytearray(b"x"),
        1 + 2j,
        re.compile("layers\\..*"),
        dt.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo("UTC")),
        torch.device("cpu"),
        torch.ones(3).to_sparse(),
        torch.empty(3, device="meta"),
        torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_stands_beside_tensors(tmp_path: Path, extra: Any) -> None:
    torch.save({"w": torch.arange(6.0).reshape(2, 3), "extra": extra}, tmp_path / "model.pt")
    report = looked(tmp_path / "model.pt")
    assert report.problems == []
    assert report.checkpoint is not None
    assert report.checkpoint.tensors["w"].shape == (2, 3)


def test_members_of_enumerations_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So early releases of Python 3.11 pickle them: with `getattr`, which is in gadgets as well."""
    from torch.distributed.checkpoint.metadata import _MEM_FORMAT_ENCODING

    for kind in (Mode, _MEM_FORMAT_ENCODING):
        monkeypatch.setattr(kind, "__reduce_ex__", lambda self, _: (getattr, (type(self), self.name)))
    state = {"w": torch.arange(6.0), "mode": Mode.FAST}
    dcp.save(state, checkpoint_id=tmp_path / "dcp", no_dist=True)
    assert b"getattr" in (tmp_path / "dcp" / ".metadata").read_bytes()
    torch.save(state, tmp_path / "model.pt")
    for path in (tmp_path / "dcp", tmp_path / "model.pt"):
        report = looked(path)
        assert report.problems == []
        assert report.checkpoint is not None
        assert report.checkpoint.tensors["w"].shape == (6,)


def _shards(folder: Path, **tensors: list[torch.Tensor]) -> Path:
    """A checkpoint of sharded tensors, written by one process: each is the list of its parts along the first dimension."""
    from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
    from torch.distributed.checkpoint.planner import SavePlan, TensorWriteData, WriteItem, WriteItemType

    class Planner(dcp.DefaultSavePlanner):
        def create_local_plan(self) -> SavePlan:
            items = []
            for name, parts in tensors.items():
                begin, size = 0, torch.Size([sum(len(part) for part in parts), *parts[0].shape[1:]])
                for number, part in enumerate(parts):
                    offsets = torch.Size([begin] + [0] * (part.dim() - 1))
                    data = TensorWriteData(
                        ChunkStorageMetadata(offsets, part.shape), TensorProperties(part.dtype), size
                    )
                    items.append(WriteItem(MetadataIndex(name, offsets, number), WriteItemType.SHARD, tensor_data=data))
                    begin += len(part)
            self.plan = SavePlan(items)
            return self.plan

        def lookup_object(self, index: Any) -> Any:
            return tensors[index.fqn][index.index]

    dcp.save(
        dict.fromkeys(tensors, torch.ones(1)),
        checkpoint_id=folder,
        planner=Planner(flatten_state_dict=False),
        no_dist=True,
    )
    return folder


def test_parts_that_are_alike(tmp_path: Path) -> None:
    """Experts that begin as copies of one layer, beside others that are different: worth a note."""
    expert = torch.randn(1, 8, 8)
    folder = _shards(tmp_path / "saved", experts=[expert, expert.clone()], up=[torch.randn(4, 4), torch.randn(4, 4)])
    report = looked(folder)
    assert [(problem.code, problem.severity) for problem in report.problems] == [("CK203", "note")]


def test_one_ranks_data_twice(tmp_path: Path) -> None:
    one, two = torch.randn(8, 8), torch.randn(16, 4)
    report = looked(_shards(tmp_path / "saved", up=[one, one.clone()], down=[two, two.clone()]))
    assert [(problem.code, problem.severity) for problem in report.problems] == [("CK203", "error")] * 2


def test_stages_of_a_pipeline_have_names_of_their_own(tmp_path: Path) -> None:
    for rank in range(3):
        torch.save(
            {f"layers.{rank}.w": torch.ones(4) * rank, f"layers.{rank}.b": torch.zeros(2)}, tmp_path / f"rank_{rank}.pt"
        )
    assert looked(tmp_path).problems == []


def test_two_files_of_each_rank(tmp_path: Path) -> None:
    for rank in range(2):
        torch.save({"w": torch.ones(4) * rank}, tmp_path / f"mp_rank_0{rank}_model_states.pt")
        torch.save({"w": torch.ones(9) * rank}, tmp_path / f"optim_rank_{rank}.pt")
    assert looked(tmp_path).problems == []
    (tmp_path / "mp_rank_01_model_states.pt").write_bytes(b"PK nothing")
    assert codes(looked(tmp_path)) == ["CK102"]


def test_a_number_that_is_another_rank(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(8, 2)}, tmp_path / "lora_rank_8.pt")
    assert looked(tmp_path).problems == []
    torch.save({"a": torch.ones(8, 2)}, tmp_path / "lora_rank_3000000000.pt")
    assert looked(tmp_path).problems == []


def test_several_files_of_safetensors(tmp_path: Path) -> None:
    save_file({"w": torch.ones(4)}, tmp_path / "model.safetensors")
    (tmp_path / "checkpoint-5").mkdir()
    save_file({"w": torch.zeros(4)}, tmp_path / "checkpoint-5" / "model.safetensors")
    assert looked(tmp_path).problems == []
    save_file({"w": torch.ones(4)}, tmp_path / "ema.safetensors")
    report = looked(tmp_path)
    assert (report.problems, report.coverage.files_read, report.coverage.apart) == ([], 2, ("checkpoint-5",))
    for rank in range(2):
        (tmp_path / "ranks").mkdir(exist_ok=True)
        save_file({"w": torch.ones(4) * rank}, tmp_path / "ranks" / f"rank_{rank}.safetensors")
    assert looked(tmp_path / "ranks").problems == []


def test_which_prefix_is_meant_is_for_the_values_to_say(tmp_path: Path) -> None:
    model = {"a.weight": torch.randn(4, 3), "b.weight": torch.randn(5)}
    ema = {name: value * 0.5 for name, value in model.items()}
    dcp.save(
        {"ema": ema, "model": model, "rng_state": torch.zeros(3, dtype=torch.uint8)},
        checkpoint_id=tmp_path / "saved",
        no_dist=True,
    )
    save_file(model, tmp_path / "model.safetensors")
    assert looked(tmp_path / "saved", consolidated=tmp_path / "model.safetensors").is_sound
    save_file(ema, tmp_path / "ema.safetensors")
    assert looked(tmp_path / "saved", consolidated=tmp_path / "ema.safetensors").is_sound


def test_what_a_consolidated_file_need_not_have(tmp_path: Path) -> None:
    model = {"a": torch.randn(4, 3), "nan": torch.tensor([1.0, float("nan")])}
    state = {**model, "rng_state": torch.zeros(3, dtype=torch.uint8), "lr": torch.tensor(0.1)}
    dcp.save(state, checkpoint_id=tmp_path / "saved", no_dist=True)
    save_file({name: tensor.bfloat16() for name, tensor in model.items()}, tmp_path / "model.safetensors")
    report = looked(tmp_path / "saved", consolidated=tmp_path / "model.safetensors")
    assert report.is_sound, report.problems


def test_bit_rot_in_the_consolidated_file(tmp_path: Path) -> None:
    """Its checksum is the right one still: only reading it tells."""
    state = {"w": torch.randn(64, 64)}
    dcp.save(state, checkpoint_id=tmp_path / "saved", no_dist=True)
    for name in ("model.pt", "other.pt"):
        torch.save(state, tmp_path / name)
    data = bytearray((tmp_path / "model.pt").read_bytes())
    data[4000] ^= 4
    (tmp_path / "model.pt").write_bytes(bytes(data))
    assert codes(looked(tmp_path / "saved", consolidated=tmp_path / "model.pt")) == ["CK102"]


def test_what_cannot_be_read_is_not_the_same(tmp_path: Path) -> None:
    for name in ("one", "two"):
        dcp.save({"w": torch.ones(2000)}, checkpoint_id=tmp_path / name, no_dist=True)
    file = tmp_path / "two" / "__0_0.distcp"
    file.write_bytes(file.read_bytes()[:1000])
    with opened(tmp_path / "one") as (one, _), opened(tmp_path / "two") as (two, _):
        assert [item.kind for item in compare(one, two)] == ["unreadable"]


def test_numbers_of_parameters_are_no_names(tmp_path: Path) -> None:
    """`optimizer.state_dict()` as it is, beside a ParameterList."""
    parameters = torch.nn.ParameterList([torch.ones(7), torch.ones(3, 4)])
    state = {0: {"exp_avg": torch.ones(3, 4)}, 1: {"exp_avg": torch.ones(7)}}
    dcp.save(
        {"model": parameters.state_dict(), "optim": {"state": state}}, checkpoint_id=tmp_path / "saved", no_dist=True
    )
    assert looked(tmp_path / "saved").problems == []


@pytest.mark.parametrize(("shape", "severity"), [((2, 6), "error"), ((3, 3), "note"), ((4, 6), None)])
def test_moments_of_another_shape(tmp_path: Path, shape: tuple[int, int], severity: str | None) -> None:
    """One rank's part of a moment is an error; an optimizer of low rank has its own shapes."""
    state = {"w": {"exp_avg": torch.ones(shape)}}
    dcp.save(
        {"model": {"w": torch.ones(4, 6)}, "optim": {"state": state}}, checkpoint_id=tmp_path / "saved", no_dist=True
    )
    assert [(problem.code, problem.severity) for problem in looked(tmp_path / "saved").problems] == (
        [("CK301", severity)] if severity else []
    )


def test_views_of_one_storage_are_read_once(tmp_path: Path) -> None:
    flat = torch.arange(1000.0)
    torch.save({f"p{n}": flat[n : n + 10] for n in range(100)}, tmp_path / "model.pt")
    read = 0

    def count(size: int) -> None:
        nonlocal read
        read += size

    from collectivelint.runtime.checkpoint.audit import Wanted, audit

    assert audit(tmp_path / "model.pt", Wanted(), count).is_sound
    assert read == 4000


def test_a_broken_manifest_does_not_hide_the_rest(tmp_path: Path) -> None:
    folder = tmp_path / "saved"
    dcp.save({"w": torch.ones(2000)}, checkpoint_id=folder, no_dist=True)
    (folder / manifest.NAME).write_text(
        '{"collectivelint": 1, "tensors": {"w": {"dtype": "float32", "shape": [2000], "chunks": 5}}}'
    )
    (folder / "__0_0.distcp").write_bytes((folder / "__0_0.distcp").read_bytes()[:1000])
    assert codes(looked(folder)) == ["CK102", "CK303"]


@pytest.mark.parametrize("name", ["checkpoint.pth.tar", "weights", "model.params"])
def test_files_of_torch_save_by_any_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    torch.save({"w": torch.arange(600.0)}, file)
    report = looked(tmp_path)
    assert (report.is_sound, report.is_complete, report.coverage.tensors) == (True, True, 1)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert codes(looked(tmp_path)) == ["CK102"]
