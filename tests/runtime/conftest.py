"""Real jobs under the tracer. Each is ended by its id should a test fail while it runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from collectivelint.runtime.beside.watch import end
from collectivelint.runtime.traces import folders

from . import forked

if TYPE_CHECKING:
    from collections.abc import Callable

JOBS = Path(__file__).parent.parent / "jobs"
LONGEST = 120


@dataclass(frozen=True)
class Job:
    """A job that has ended, and the folder of its run."""

    code: int
    out: str
    err: str
    folder: Path

    @property
    def verdicts(self) -> list[dict[str, Any]]:
        """Of each job and attempt that has diverged."""
        file = self.folder / "divergence.json"
        found: list[dict[str, Any]] = json.loads(file.read_text())["verdicts"] if file.exists() else []
        return found

    @property
    def divergence(self) -> dict[str, Any] | None:
        """That of the first."""
        return next(iter(self.verdicts), None)

    def sides(self) -> list[tuple[list[int], str, int]]:
        """Ranks, operation and line of each side of the divergence."""
        assert self.divergence is not None, self.err
        return [
            (
                side["ranks"],
                (side["event"] or {}).get("op", ""),
                (side["event"] or {"site": {"line": 0}})["site"]["line"],
            )
            for side in self.divergence["sides"]
        ]


def run(command: list[str], folder: Path, cwd: Path, **environment: str) -> Job:
    """Run a command to its end; its whole process group is killed should it take too long."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=LONGEST)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            # torchrun's workers are groups of their own, and would hold the pipes.
            end(folders.newest(folder), ask=False)
            process.communicate()
    return Job(process.returncode, out, err, folders.newest(folder))


def torchrun(ranks: int) -> list[str]:
    return [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]


@pytest.fixture
def trace(tmp_path: Path) -> Callable[..., Job]:
    """Run a job script on some ranks under `collectivelint trace`; started by torchrun where a test asks for that."""

    def start(
        script: str | Path,
        *args: str,
        ranks: int = 3,
        launcher: Callable[[int], list[str]] = forked.launcher,
        hint_after: float = 2,
        options: tuple[str, ...] = (),
        **environment: str,
    ) -> Job:
        folder = tmp_path / "trace"
        command = [
            *[sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder)],
            "--hint-after",
            str(hint_after),
            *options,
            "--",
            *launcher(ranks),
            str(JOBS / script),
            *args,
        ]
        return run(command, folder, tmp_path, **environment)

    return start


def line_of(text: str, script: str = "scenarios.py") -> int:
    """Number of the first line of a job script that contains the text."""
    lines = (JOBS / script).read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)
