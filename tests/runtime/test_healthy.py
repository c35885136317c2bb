"""Correct jobs that look unusual are neither reported nor stopped, however impatient the tracer is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import folders, jobs

from . import forked
from .conftest import JOBS, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Job

pytest.importorskip("torch")


#: Started by torchrun: many ways to communicate, of processes that import torch themselves.
REAL = frozenset({"loaders,ddp,coalesced,imagined,refused,scalars,lets_go"})


@pytest.mark.parametrize(
    ("name", "ranks"),
    [
        ("mesh_2d", 4),
        ("again", 2),
        # Several in one job: starting it is what takes time.
        ("asynchronous,pipeline,uneven_work,groups_of_any_kind,stopped", 3),
        ("loaders,ddp,coalesced,imagined,refused,scalars,lets_go", 2),
        ("threads,signals,late_thread,waits_elsewhere,nested", 2),
        ("shrinks", 3),
        ("open_receive", 2),
    ],
)
def test_healthy_job_is_left_alone(trace: Callable[..., Job], tmp_path: Path, name: str, ranks: int) -> None:
    scratch = tmp_path / "scratch"
    if name != "again":
        scratch.mkdir()
    launcher = torchrun if name in REAL else forked.launcher
    job = trace("healthy.py", name, str(scratch), ranks=ranks, hint_after=1, launcher=launcher)
    assert (job.code, job.divergence) == (0, None), job.err
    assert sorted(jobs.load(job.folder).ranks) == list(range(ranks))


def test_an_interrupt_is_no_divergence_and_leaves_nobody_behind(tmp_path: Path) -> None:
    folder = tmp_path / "trace"
    launcher = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder), "--hint-after", "60", "--"]
    process = subprocess.Popen(
        [*launcher, *torchrun(2), str(JOBS / "healthy.py"), "uneven_work", str(tmp_path)],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        while not any(reader.written for reader in jobs.opened(folders.newest(folder), [])):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    # What torchrun ends with then.
    assert process.returncode == 1, err
    assert err.splitlines()[-1].endswith("but the job was interrupted by SIGINT and its exit code is 1")
    assert not (folders.newest(folder) / "divergence.json").exists(), err
    for rank in jobs.load(folder).ranks.values():
        with pytest.raises(ProcessLookupError):
            os.kill(rank.pid, 0)
