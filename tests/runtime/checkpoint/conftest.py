"""Checkpoints of every kind, made once by a real job of four ranks."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from collectivelint.runtime.checkpoint.audit import Report, Wanted, audit

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = Path(__file__).parents[2] / "jobs"


def module(name: str) -> Any:
    """A module of tests/jobs."""
    return _module(JOBS / f"{name}.py")


def _module(file: Path) -> Any:
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
    folder = tmp_path_factory.mktemp("checkpoints")
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "4"]
    ran = subprocess.run(
        [*torchrun, str(JOBS / "checkpoints.py"), str(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
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


def run_traced(tmp_path: Path, kind: str = "", *options: str, script: Path = JOBS / "audited.py") -> Any:
    """Run a job of three ranks under `collectivelint trace`; it saves to `saved`."""
    runner = _module(Path(__file__).parents[1] / "conftest.py")
    folder = tmp_path / "trace"
    launcher = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder), *options, "--"]
    command = [*launcher, *runner.torchrun(3), str(script), *([kind, str(tmp_path / "saved")] if kind else [])]
    return runner.run(command, folder, tmp_path)
