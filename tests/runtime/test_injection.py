"""Jobs that are started in other ways than by torchrun once, and tracers that cannot do their work."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import jobs

from collectivelint import runtime

from .conftest import JOBS, line_of, run, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Job


def _trace(tmp_path: Path, *command: str) -> Job:
    folder = tmp_path / "trace"
    return run(
        [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder), "--", *command], folder, tmp_path
    )


@pytest.mark.slow
def test_spawned_ranks(tmp_path: Path) -> None:
    job = _trace(tmp_path, sys.executable, str(JOBS / "spawned.py"), str(tmp_path / "store"), "agree")
    assert (job.code, job.divergence) == (0, None), job.err
    assert [rank.end for rank in jobs.load(job.folder).ranks.values()] == ["finished"] * 3


@pytest.mark.parametrize(
    ("what", "end"),
    [
        pytest.param("skip", "has finished", marks=pytest.mark.slow),
        pytest.param("raise", "raised ValueError: no such shard at ", marks=pytest.mark.slow),
        # Only the process that started the rank knows its code.
        ("leave", "exited with code 3 without reporting an error"),
    ],
)
def test_spawned_ranks_that_diverge(tmp_path: Path, what: str, end: str) -> None:
    job = _trace(tmp_path, sys.executable, str(JOBS / "spawned.py"), str(tmp_path / "store"), what)
    assert job.code == 1
    assert job.divergence is not None, job.err
    assert job.sides()[0] == ([0, 2], "barrier", line_of("        dist.barrier()", "spawned.py"))
    waits, ended = (side["state"] for side in job.divergence["sides"])
    assert waits == "waits in"
    assert ended.startswith(end)


# ---------------------------------------------------------------------------------------- the tracer's own troubles


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


@pytest.mark.slow
def test_a_disk_that_is_too_small(tmp_path: Path) -> None:
    """The room for the ring is taken at once: a page that is missing later would end the job."""
    ran = subprocess.run(
        [*torchrun(2), str(JOBS / "scenarios.py"), "agree_only"],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PYTHONPATH": os.path.join(os.path.dirname(runtime.__file__ or ""), "bootstrap"),
            "COLLECTIVELINT_TRACE": str(tmp_path / "trace"),
            "COLLECTIVELINT_HOME": os.path.dirname(sys.modules["collectivelint"].__file__ or ""),
            "COLLECTIVELINT_RUNTIME_HOME": os.path.dirname(runtime.__file__ or ""),
        },
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        preexec_fn=_small_files,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("collectivelint: this process runs untraced: OSError") == 2


_FULL = """
import gc, sys
import torch, torch.distributed as dist
from collectivelint.runtime import trace
from collectivelint.runtime.inside.tracer import Tracer
from torch.testing._internal.distributed.fake_pg import FakeStore
with trace(sys.argv[1]):
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    dist.all_reduce(torch.ones(1))
    (tracer,) = [item for item in gc.get_objects() if isinstance(item, Tracer)]
    tracer._writer._names = open("/dev/full", "ab", buffering=0)
    for size in (2, 3):
        dist.all_reduce(torch.ones(size))
    print("done", dist.get_rank())
"""


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    command = [sys.executable, "-c", _FULL, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "done 0\n"), ran.stderr
    assert ran.stderr.count("runs untraced: OSError: [Errno 28]") == 1
    assert [event.op for event in jobs.load(tmp_path).ranks[0].events] == ["all_reduce"]


def test_a_comparison_that_fails_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from collectivelint.runtime.beside import launch
    from collectivelint.runtime.beside.monitor import Monitor

    def look(self: Monitor) -> None:
        raise RuntimeError("no idea")

    said: list[str] = []
    monkeypatch.setattr(Monitor, "look", look)
    outcome = launch.run([sys.executable, "-c", "import time; time.sleep(1)"], tmp_path, said.append)
    assert (outcome.code, outcome.judged) == (0, ())
    assert said == ["collectivelint: the ranks cannot be compared: RuntimeError: no idea\n"]


def test_nothing_of_the_tracer_is_kept_by_the_job(trace: Callable[..., Job]) -> None:
    """Groups that are destroyed can be collected, and handles too."""
    job = trace("collected.py", ranks=2)
    assert job.code == 0, job.err
    assert "collected" in job.out


_MANY = """
import sys
import torch, torch.distributed as dist
from pathlib import Path
from collectivelint.runtime import trace
from collectivelint.runtime.inside import signatures
from collectivelint.runtime.traces import jobs
from torch.testing._internal.distributed.fake_pg import FakeStore
signatures._MOST = 3
with trace(sys.argv[1]):
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    hashes = []
    for size in (1, 2, 3, 4, 5, 5):
        dist.all_reduce(torch.ones(size))
        (counted,) = jobs.load(Path(sys.argv[1])).ranks[0].streams.values()
        hashes.append(counted.rolled)
names = next(Path(sys.argv[1]).glob("run-*/*.names")).read_text()
assert names.count('"signature"') == 4, names
assert len(set(hashes)) == 6
events = jobs.load(Path(sys.argv[1])).ranks[0].events
assert ["tensors" in event.signature for event in events] == [True, True, True, False, False, False]
"""


@pytest.mark.slow
def test_more_signatures_than_anybody_wants_to_keep(tmp_path: Path) -> None:
    """Splits that are new in each call: they are not stored any more, but still make hashes differ."""
    command = [sys.executable, "-c", _MANY, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")


_STATELESS = """
import sys
import torch, torch.distributed as dist
from collectivelint.runtime import trace
with trace(sys.argv[1]):
    dist.init_process_group("gloo", init_method="file://" + sys.argv[1] + "/store", rank=0, world_size=1)
    store = dist.HashStore()
    group = dist.ProcessGroup(store, 0, 1)
    gloo = dist.ProcessGroupGloo(store, 0, 1)
    group._register_backend(torch.device("cpu"), dist.ProcessGroup.BackendType.GLOO, gloo)
    group.allreduce([torch.ones(1)], dist.AllreduceOptions()).wait()
    dist.all_reduce(torch.ones(1))
"""


def test_a_group_that_torch_does_not_know(tmp_path: Path) -> None:
    """As vLLM makes them; also where warnings are errors."""
    command = [sys.executable, "-W", "error::UserWarning", "-c", _STATELESS, str(tmp_path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stderr.count("could not be recorded") <= 1
    assert jobs.load(tmp_path).ranks[0].events[-1].op == "all_reduce"


def test_signals_are_passed_on(tmp_path: Path) -> None:
    """A scheduler tells the launcher to end; the job saves what it has, and nobody is left behind."""
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(7)))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    launcher = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(tmp_path), "--"]
    command = [*launcher, sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "saved\n"
        assert process.wait(30) == 7
