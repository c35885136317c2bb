"""Checkpoints in memory, as in a store; what stores need of other packages, and how they are read."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from collectivelint.runtime.checkpoint.audit import Wanted, audit
from collectivelint.runtime.checkpoint.checks import companions
from collectivelint.runtime.checkpoint.formats import torch_save
from collectivelint.runtime.checkpoint.stores import objects, store
from collectivelint.runtime.checkpoint.stores.path import StorePath, path_of

from .conftest import module
from .stored import findings, large, upload

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

fsspec = pytest.importorskip("fsspec")
damages = module("damages").DAMAGES


@pytest.fixture
def memory() -> Iterator[str]:
    fs = fsspec.filesystem("memory")
    yield "memory://runs"
    if fs.exists("/runs"):
        fs.rm("/runs", recursive=True)


def test_every_format(made: Path, memory: str) -> None:
    upload(made, memory)
    for path in sorted(made.iterdir()):
        assert findings(f"{memory}/{path.name}") == findings(path), path.name


def test_every_damage(made: Path, memory: str, tmp_path: Path) -> None:
    for name, damage in damages.items():
        folder = tmp_path / name / "tensor_parallel"
        shutil.copytree(made / "tensor_parallel", folder)
        shutil.copytree(made / "tensor_parallel-later", f"{folder}-later")
        damage(folder)
        address = upload(folder, f"{memory}/{name}/tensor_parallel")
        # A store has no empty folders, links and times of its own: what is an error is one there too.
        ours, theirs = findings(address), findings(folder)
        errors = [[p["code"] for p in data["problems"] if p["severity"] == "error"] for data in (ours, theirs)]
        assert errors[0] == errors[1], name


def test_a_file_that_is_changed_meanwhile(copy: Callable[[str], Path], memory: str) -> None:
    folder = copy("tensor_parallel")
    address = upload(folder, f"{memory}/run")
    upload(folder, f"{memory}/twin")
    fs = fsspec.filesystem("memory")

    def replaced(_: int) -> None:
        fs.pipe("/runs/run/__1_0.distcp", (folder / "__1_0.distcp").read_bytes())

    report = audit(path_of(address), Wanted(), replaced)
    assert [(p.where, p.text) for p in report.problems] == [
        ("__1_0.distcp", "was changed while it was read; verify it again")
    ]
    assert audit(path_of(f"{memory}/twin"), Wanted(), lambda _: None).is_sound


def test_a_store_that_goes_away_between_checks(
    copy: Callable[[str], Path], memory: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found until then is said."""
    folder = copy("tensor_parallel")
    (folder / "__7_0.distcp").write_bytes(b"left over")
    address = upload(folder, f"{memory}/run")

    def gone(*_: object) -> None:
        raise OSError(5, "the connection is gone", address)

    monkeypatch.setattr(companions, "check", gone)
    report = audit(path_of(address), Wanted())
    assert [(problem.code, problem.text) for problem in report.problems if problem.severity == "error"] == [
        ("CK102", "the connection is gone"),
        ("CK103", "no tensor refers to this file: the metadata know nothing of that rank"),
    ]


def test_a_package_that_is_missing() -> None:
    pytest.importorskip("s3fs")
    code = "import sys; sys.modules['s3fs'] = None; from collectivelint.cli import main; main()"
    command = [sys.executable, "-c", code, "ckpt", "verify", "s3://bucket/run"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    assert ran.returncode == 2
    assert ran.stderr.startswith("error: s3://bucket/run: ")
    assert "s3fs" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_files_here_need_no_fsspec(made: Path) -> None:
    code = "import sys; sys.modules['fsspec'] = None; from collectivelint.cli import main; main()"
    command = [sys.executable, "-c", code, "ckpt", "verify", str(made / "tensor_parallel")]
    assert subprocess.run(command, capture_output=True, check=False, cwd=os.sep).returncode == 0
    command[-1] = "s3://bucket/run"
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=os.sep)
    text = "error: s3://bucket/run: addresses such as s3:// need fsspec: pip install 'collectivelint[stores]'\n"
    assert (ran.returncode, ran.stderr) == (2, text)


def test_values_are_read_in_parallel(tmp_path: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = upload(large(tmp_path / "large", 1, 17_000_000), f"{memory}/large")
    barrier = threading.Barrier(4)
    read = store.Store.read

    def together(self: store.Store, path: str, begin: int, end: int) -> bytes:
        # Would wait for ever if one were read after the other; pages are read by fewer.
        if end - begin == objects.BLOCK:
            barrier.wait(60)
        return read(self, path, begin, end)

    monkeypatch.setattr(store.Store, "read", together)
    assert audit(path_of(address), Wanted()).is_sound


def test_files_of_ranks_are_read_in_parallel(made: Path, memory: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = upload(made / "hand_made-ranks", f"{memory}/ranks")
    barrier = threading.Barrier(4)
    read = torch_save.read

    def together(file: Path, name: str, rank: int | None) -> Any:
        barrier.wait(60)
        return read(file, name, rank)

    monkeypatch.setattr(torch_save, "read", together)
    assert audit(path_of(address), Wanted(headers_only=True)).coverage.files_read == 4


def test_an_address_is_a_path() -> None:
    path = path_of("s3://bucket/run/step_1")
    assert isinstance(path, StorePath)
    assert (str(path), str(path.parent), path.name) == ("s3://bucket/run/step_1", "s3://bucket/run", "step_1")
    assert str(path / "a" / "b.pt") == "s3://bucket/run/step_1/a/b.pt"
    assert (path / "a").relative_to(path).as_posix() == "a"
    assert path == path_of("s3://bucket/run") / "step_1"
    assert str(path_of("memory://")) == "memory://"
    assert not isinstance(path_of("s3:/bucket"), StorePath)
    assert str(path_of("file:///tmp/x")) == "/tmp/x"
