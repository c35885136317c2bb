"""Checkpoints of every kind, made once by a real job of four ranks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from typing import TYPE_CHECKING, Any

import pytest
from collectivelint.runtime.checkpoint.audit import Report, Wanted, audit
from filelock import FileLock

from .. import forked
from ..conftest import JOBS, Job, run, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def module(name: str) -> Any:
    """A module of tests/jobs."""
    file = JOBS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"loaded_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one checkpoint for each function of tests/jobs/checkpoints.py."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        # The folder of all workers; the first that comes makes them for the others.
        shared = shared.parent
    folder, done = shared / "checkpoints", shared / "checkpoints.done"
    with FileLock(shared / "checkpoints.lock"):
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            ran = run([*torchrun(4), str(JOBS / "checkpoints.py"), str(folder)], folder, folder)
            assert ran.code == 0, ran.err
            done.touch()
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a checkpoint, to be damaged."""

    def start(name: str) -> Path:
        target = tmp_path / name
        shutil.copytree(made / name, target)
        return target

    return start


def looked(path: Path, **wanted: Any) -> Report:
    """Audit it."""
    return audit(path, Wanted(**wanted))


def codes(report: Report, severity: str = "error") -> list[str]:
    """The codes of the problems, each once."""
    return sorted({problem.code for problem in report.problems if problem.severity == severity})


def run_traced(
    tmp_path: Path,
    kind: str = "",
    *options: str,
    script: Path = JOBS / "audited.py",
    launcher: Callable[[int], list[str]] = forked.launcher,
) -> Job:
    """Run a job of three ranks under `collectivelint trace`; it saves to `saved`."""
    folder = tmp_path / "trace"
    command = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder), *options, "--", *launcher(3)]
    return run([*command, str(script), *([kind, str(tmp_path / "saved")] if kind else [])], folder, tmp_path)
