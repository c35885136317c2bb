"""Damaged and deceptive folders whose right verdict was written down before they were first verified."""

from __future__ import annotations

import gzip
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from collectivelint.runtime.checkpoint.model import NoCheckpointError
from safetensors.torch import save_file

from .conftest import codes, looked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

WEIGHTS = {f"layers.{n}.weight": torch.arange(12.0).reshape(4, 3) + 100 * n for n in range(4)}
PARTS = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")


def said(path: Path) -> list[tuple[str, str, str]]:
    """Severity, code and place of each problem, and what is not read."""
    report = looked(path)
    found = [(problem.severity, problem.code, problem.where) for problem in report.problems]
    return found + [("unread", "", item.where) for item in report.coverage.unread]


def indexed(
    folder: Path, names: tuple[str, str] = PARTS, change: Callable[[dict[str, str]], Any] = lambda names: names
) -> Path:
    """Two files of safetensors with an index."""
    folder.mkdir(parents=True, exist_ok=True)
    where = {}
    for file, some in zip(names, (list(WEIGHTS)[:2], list(WEIGHTS)[2:]), strict=True):
        save_file({name: WEIGHTS[name] for name in some}, folder / file)
        where |= dict.fromkeys(some, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": change(where)}))
    return folder


def ranks(folder: Path, *numbers: int, form: str = "rank_{}_model.pt") -> Path:
    for number in numbers:
        torch.save({"w": torch.randn(8, 8)}, folder / form.format(number))
    return folder


def saved(folder: Path, **objects: Any) -> Path:
    dcp.save({**WEIGHTS, **objects}, checkpoint_id=folder, no_dist=True)
    return folder


def test_a_rank_has_two_files(tmp_path: Path) -> None:
    ranks(tmp_path, 0, 1, 2)
    shutil.copy(tmp_path / "rank_0_model.pt", tmp_path / "rank_01_model.pt")
    assert said(tmp_path) == [("error", "CK205", "rank_01_model.pt")]


def test_the_file_of_a_rank_is_a_link_to_another(tmp_path: Path) -> None:
    ranks(tmp_path, 0, 2)
    (tmp_path / "rank_1_model.pt").symlink_to("rank_2_model.pt")
    assert said(tmp_path) == [("note", "CK103", "rank_1_model.pt")]


@pytest.mark.parametrize("form", ["rank_{}_model.pt", "model_world_size_4000000_rank_{}.pt"])
def test_more_files_are_missing_than_can_be_named(tmp_path: Path, form: str) -> None:
    ranks(tmp_path, 0, 1, *((99_999_999,) if "size" not in form else ()), form=form)
    assert said(tmp_path) == [("error", "CK103", form.format("*"))]


def test_links_to_nothing(tmp_path: Path) -> None:
    indexed(tmp_path / "step_100")
    (tmp_path / "latest").symlink_to("step_200")
    (tmp_path / "tokenizer.json").symlink_to("../blobs/1")
    assert said(tmp_path) == [("error", "CK102", "latest"), ("note", "CK102", "tokenizer.json")]


def test_links_to_files_and_folders(tmp_path: Path) -> None:
    """As a cache has them; each file is read once, by whichever way."""
    target = indexed(tmp_path / "run" / "z")
    (tmp_path / "blobs").mkdir()
    for number, file in enumerate(sorted(target.iterdir())):
        shutil.move(file, tmp_path / "blobs" / str(number))
        file.symlink_to(f"../../blobs/{number}")
    (tmp_path / "run" / "a").symlink_to("z")
    (tmp_path / "run" / "b").mkdir()
    (tmp_path / "run" / "b" / "c").symlink_to("../z")
    report = looked(tmp_path / "run")
    assert (report.problems, report.coverage.files, report.is_complete) == ([], 2, True)
    (target / PARTS[1]).unlink()
    (target / PARTS[1]).symlink_to(PARTS[0])
    assert codes(looked(tmp_path / "run")) == ["CK102"]


def test_folders_without_end(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "/".join("d" * 200)).mkdir(parents=True)
    assert said(tmp_path) == [("unread", "", "d/d/d/...")]
    with pytest.raises(NoCheckpointError, match="deeper than 64 folders"):
        looked(tmp_path / "d")


def test_names_in_an_index(tmp_path: Path) -> None:
    assert said(indexed(tmp_path / "dots", change=lambda names: {n: f"./{f}" for n, f in names.items()})) == []
    index = "model.safetensors.index.json"
    assert said(indexed(tmp_path / "none", change=lambda names: {**names, "x": None})) == [("error", "CK102", index)]
    three = ("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors")
    assert said(indexed(tmp_path / "three", three)) == [("error", "CK102", index)]
    alone = indexed(tmp_path / "alone")
    (alone / index).unlink()
    assert said(alone) == [("note", "CK103", "model-*-of-00002.safetensors")]


def _repacked(file: Path, change: Callable[[list[tuple[str, bytes]]], list[tuple[str, bytes]]]) -> Path:
    torch.save({"w": torch.arange(4.0)}, file)
    with zipfile.ZipFile(file) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, data in change(entries):
            archive.writestr(name, data)
    return file


def test_storages_of_an_archive(tmp_path: Path) -> None:
    """torch refuses a storage that is longer than the pickle says, and does not mind one that nothing refers to."""

    def times(count: int, entries: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        return [(name, data * count if name.endswith("data/0") else data) for name, data in entries]

    assert said(_repacked(tmp_path / "same.pt", lambda entries: times(1, entries))) == []
    file = _repacked(tmp_path / "long.pt", lambda entries: times(4, entries))
    assert "`data/0` has 64 bytes, and its storage 16" in looked(file).problems[0].text
    with pytest.raises(RuntimeError, match="does not match expected size"):
        torch.load(file)
    file = _repacked(tmp_path / "more.pt", lambda entries: [*entries, ("more/data/7", bytes(64))])
    assert said(file) == [("note", "CK103", "more.pt")]


def test_metadata_of_a_rank_beside_the_others(tmp_path: Path) -> None:
    shutil.copy(saved(tmp_path) / ".metadata", tmp_path / "__0.metadata")
    assert said(tmp_path) == [("note", "CK103", "__0.metadata")]


class Runs:
    def __init__(self, name: str, *args: object) -> None:
        self.called = name, args

    def __reduce__(self) -> Any:
        return self.called


def test_objects_that_run_something(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch loads objects of a distributed checkpoint with everything that they call, whatever `weights_only` says."""
    canary = tmp_path / "canary"
    folder = saved(tmp_path / "evil", extra=Runs(os.system, f"touch {canary}"))  # type: ignore[arg-type]
    assert said(folder) == [("error", "CK102", "extra")]
    assert "`posix.system`, which no checkpoint needs" in looked(folder).problems[0].text
    assert not canary.exists()
    state: dict[str, Any] = {"extra": None}
    dcp.load(state, checkpoint_id=folder, no_dist=True)
    assert canary.exists()
    # Somebody's module, which loading would import.
    module = type(sys)("somebody")
    exec("class Thing:\n    def __init__(self, *args): pass\ndef call(*args): return 3\n", module.__dict__)
    monkeypatch.setitem(sys.modules, "somebody", module)
    folder = saved(tmp_path / "other", extra=Runs(module.call, [1]))
    assert said(folder) == [("error", "CK104", "extra")]
    folder = saved(tmp_path / "unclear", extra=Runs(module.Thing, 3))
    assert said(folder) == [("unread", "", "extra")]
    objects = {"rng": torch.get_rng_state(), "step": 3, "more": OrderedDict(a=(1, [2.5]), b={"c": None})}
    assert said(saved(tmp_path / "good", extra=objects, rate=0.1)) == []


def test_what_is_compressed(tmp_path: Path) -> None:
    save_file(WEIGHTS, tmp_path / "model.safetensors")
    (tmp_path / "profile.json.gz").write_bytes(gzip.compress(b"{}"))
    assert said(tmp_path) == []
    (tmp_path / "optimizer.pt.gz").write_bytes(gzip.compress(bytes(100)))
    assert said(tmp_path) == [("unread", "", "optimizer.pt.gz")]


def test_chunks_that_are_listed_twice(tmp_path: Path) -> None:
    name, other = list(WEIGHTS)[:2]
    for title, change in {
        "chunk": lambda m: m.state_dict_metadata[name].chunks.append(m.state_dict_metadata[name].chunks[0]),
        "place": lambda m: m.storage_data.update({k: _place(m, other) for k in m.storage_data if k.fqn == name}),
    }.items():
        folder = saved(tmp_path / title)
        metadata = pickle.loads((folder / ".metadata").read_bytes())
        change(metadata)
        (folder / ".metadata").write_bytes(pickle.dumps(metadata))
        assert not looked(folder).is_sound, title
    folder = saved(tmp_path / "file")
    shutil.copy(folder / "__0_0.distcp", folder / "__00_0.distcp")
    assert said(folder) == [("error", "CK103", "__00_0.distcp")]


def _place(metadata: Any, name: str) -> Any:
    return next(info for index, info in metadata.storage_data.items() if index.fqn == name)
