"""What pickles may import and call is a list; what is on it is read."""

from __future__ import annotations

import argparse
import collections
import enum
import os
import pickle
import random
import sys
import types
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from collectivelint.runtime.checkpoint.formats.torch_save import read
from torch import nn

from .conftest import looked

if TYPE_CHECKING:
    from pathlib import Path


class Mode(enum.Enum):
    FAST = 1
    SLOW = "slow.one"


class Settings:
    def __init__(self) -> None:
        self.weight = torch.ones(3)
        self.depth = 4


class Opaque:
    """Its state is bytes in a form of its own, as that of a tokenizer written in another language."""

    def __getstate__(self) -> bytes:
        return b"\1\2"

    def __setstate__(self, _: bytes) -> None:
        """Whatever."""


class Calls:
    def __init__(self, function: Any, *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize(
    ("function", "args"),
    [
        (torch.hub.load, ("a/b", "c")),
        (torch.load, ("x.pt",)),
        (np.load, ("x.npy",)),
        (print, ("x",)),
        (zipfile.ZipFile, ("x.zip",)),
        (collections.namedtuple, ("x", "y")),  # noqa: PYI024
        (torch.jit.CompilationUnit, ("x",)),
        (Settings, ()),
        (Settings, ("touch /tmp/x",)),
        (os.path.exists, ("x",)),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
@pytest.mark.parametrize("is_legacy", [False, True])
def test_what_would_be_called(tmp_path: Path, function: Any, args: tuple[Any, ...], is_legacy: bool) -> None:
    state = {"w": torch.ones(2), "x": Calls(function, *args)}
    torch.save(state, tmp_path / "model.pt", _use_new_zipfile_serialization=not is_legacy)
    report = looked(tmp_path / "model.pt")
    (problem,) = report.problems
    assert (problem.code, problem.severity) == ("CK104", "error")
    assert f".{function.__qualname__}`" in problem.text
    assert "nothing of it was run" in problem.text
    # The rest of the file is read.
    assert report.checkpoint is not None
    assert list(report.checkpoint.tensors) == ["w"]


def test_a_name_through_another_module(tmp_path: Path) -> None:
    """Protocol 4 follows dots: `torch` has `os`, and that has `system`."""
    pickled = b"\x80\x04\x8c\x05torch\x8c\x09os.system\x93\x8c\x01x\x85R."
    with zipfile.ZipFile(tmp_path / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    assert [problem.code for problem in looked(tmp_path / "model.pt").problems] == ["CK104"]


@pytest.mark.parametrize("is_legacy", [False, True])
def test_what_is_read(tmp_path: Path, is_legacy: bool) -> None:
    state = {
        "ordered": collections.OrderedDict(a=torch.ones(2)),
        "args": argparse.Namespace(lr=0.5, inner=types.SimpleNamespace(n=3)),
        "size": torch.Size([3, 4]),
        "numbers": (np.float64(2.5), np.int64(7)),
        "array": np.arange(4),
        "random": (random.getstate(), np.random.get_state(), np.random.default_rng(0).bit_generator.state),
        "settings": Settings(),
        "kind": nn.ReLU,
    }
    torch.save(state, tmp_path / "model.pt", _use_new_zipfile_serialization=not is_legacy)
    report = looked(tmp_path / "model.pt")
    assert (report.problems, report.coverage.unread) == ([], [])
    assert report.checkpoint is not None
    assert list(report.checkpoint.tensors) == ["ordered.a", "settings.weight"]
    values = {name: item.value for name, item in report.checkpoint.objects.items()}
    assert [values[f"numbers.{n}"] for n in range(2)] == [2.5, 7]
    assert (values["args.lr"], values["args.inner.n"], values["settings.depth"]) == (0.5, 3, 4)


def _library(monkeypatch: pytest.MonkeyPatch, path: str, kind: type) -> type:
    """The class, as if it were that of a library."""
    module, _, name = path.rpartition(".")
    parts = module.split(".")
    packages = [types.ModuleType(".".join(parts[: n + 1])) for n in range(len(parts))]
    for package in packages:
        package.__path__ = []
        monkeypatch.setitem(sys.modules, package.__name__, package)
    setattr(packages[-1], name, kind)
    kind.__module__, kind.__qualname__ = module, name
    return kind


@pytest.mark.parametrize(
    "path",
    [
        "transformers.trainer_utils.IntervalStrategy",
        "megatron.core.transformer.enums.AttnMask",
        "deepspeed.runtime.zero.config.ZeroStageEnum",
    ],
)
def test_enumerations_of_libraries_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    kind: Any = _library(monkeypatch, path, enum.Enum("Kind", {"FAST": 1, "SLOW": "slow.one"}))
    torch.save({"w": torch.ones(2), "mode": [kind.FAST, kind.SLOW]}, tmp_path / "model.pt")
    report = looked(tmp_path / "model.pt")
    assert (report.problems, report.coverage.unread) == ([], [])
    assert report.checkpoint is not None
    values = {name: item.value for name, item in report.checkpoint.objects.items()}
    assert (values["mode.0"], values["mode.1"]) == (1, "slow.one")


@pytest.mark.parametrize("path", ["evil.Payload", "evil.payload_enums.Type", "transformers.hub.Loader"])
@pytest.mark.parametrize("argument", ["x", 3])
def test_what_may_be_no_enumeration_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str, argument: str | int
) -> None:
    """A class that is called with one word or number: so enumerations are pickled, and so is anything else."""

    class Payload:
        def __init__(self, word: object) -> None:
            self.word = word

        def __reduce__(self) -> tuple[Any, ...]:
            return type(self), (self.word,)

    kind = _library(monkeypatch, path, Payload)
    torch.save({"w": torch.ones(2), "mode": kind(argument)}, tmp_path / "model.pt")
    report = looked(tmp_path / "model.pt")
    assert report.is_sound
    assert [item.why for item in report.coverage.unread] == [
        f"a reader would import and call `{path}`, an enumeration perhaps"
    ]


@pytest.mark.parametrize("is_legacy", [False, True])
def test_whole_modules(tmp_path: Path, is_legacy: bool) -> None:
    module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    torch.save(module, tmp_path / "model.pt", _use_new_zipfile_serialization=not is_legacy)
    report = looked(tmp_path / "model.pt")
    assert report.problems == []
    assert report.checkpoint is not None
    assert {name: tuple(t.shape) for name, t in report.checkpoint.tensors.items()} == {
        name: tuple(tensor.shape) for name, tensor in module.state_dict().items()
    }


def test_contents_that_are_not_read_are_named(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2), "tokenizer": Opaque()}, tmp_path / "model.pt")
    report = looked(tmp_path / "model.pt")
    assert report.is_sound
    assert [item.why for item in report.coverage.unread] == [f"class {__name__}.Opaque: its contents were not read"]
    traced = torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))
    traced.save(str(tmp_path / "script.pt"))
    assert any("TorchScript" in item.why for item in looked(tmp_path).coverage.unread)


def test_old_files(tmp_path: Path) -> None:
    """Before torch 1.6: pickles, then the storages. One that ends early is damaged."""
    file = tmp_path / "model.pth"
    weight = torch.arange(12.0).reshape(3, 4)
    torch.save(
        {"w": weight, "turned": weight.T, "half": torch.ones(5).half()}, file, _use_new_zipfile_serialization=False
    )
    report = looked(file)
    assert (report.problems, report.read) == ([], 48 * 2 + 10)
    file.write_bytes(file.read_bytes()[:-2])
    assert "cut off" in looked(file).problems[0].text


def test_a_plain_pickle(tmp_path: Path) -> None:
    (tmp_path / "state.pkl").write_bytes(pickle.dumps({"step": 4, "numpy": np.random.get_state()}))
    content = read(tmp_path / "state.pkl", "state.pkl", None)
    assert (content.objects["step"].value, content.problems, content.unread) == (4, (), ())
