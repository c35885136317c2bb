"""Runs that have several jobs: one after another, side by side, started again, and made by the processes of another."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import pytest
from collectivelint.runtime.traces import folders, jobs, run_end
from collectivelint.runtime.verdict.model import Verdict

from . import forked
from .conftest import JOBS, Job, line_of, run, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable

jsonschema = pytest.importorskip("jsonschema")
pytest.importorskip("torch")

_SCHEMA: Final = json.loads(
    (Path(__file__).parent.parent.parent / "docs" / "divergence.schema.json").read_text(encoding="utf-8")
)


def _traced(tmp_path: Path, script: str, *options: str) -> Job:
    """A shell script, in which `JOB2` starts `several.py` on two ranks, under `collectivelint trace`."""
    for ranks in (2, 4):
        words = shlex.join([*forked.launcher(ranks), str(JOBS / "several.py")])
        script = script.replace(f"JOB{ranks}", words)
    launcher = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", "trace", *options]
    return run([*launcher, "--", "sh", "-c", script], tmp_path / "trace", tmp_path)


def _report(job: Job) -> tuple[str, dict[str, Any]]:
    """What is printed, and as data; both end with the same code, that of `trace`."""
    command = [sys.executable, "-m", "collectivelint", "report", str(job.folder)]
    text = subprocess.run(command, capture_output=True, text=True, check=False, cwd=job.folder)
    data = subprocess.run(
        [*command, "--output-format", "json"], capture_output=True, text=True, check=False, cwd=job.folder
    )
    found: dict[str, Any] = json.loads(data.stdout)
    assert text.returncode == data.returncode == int(bool(found["verdicts"])), text.stderr + data.stderr
    jsonschema.validate({"version": found["version"], "verdicts": found["verdicts"]}, _SCHEMA)
    return text.stdout, found


def test_a_job_before_the_last_has_diverged(tmp_path: Path) -> None:
    """A sweep: its own exit code is that of the last job."""
    job = _traced(tmp_path, "JOB2 leaves; JOB2 good")
    assert job.code == 1, job.err
    (verdict,) = job.verdicts
    assert (verdict["job"]["number"], verdict["job"]["of"], verdict["job"]["ranks"]) == (1, 2, [0, 1])
    assert (verdict["verdict"], job.sides()[0]) == (
        "deadlock",
        ([0], "barrier", line_of("        dist.barrier()", "several.py")),
    )
    jsonschema.validate(json.loads((job.folder / "divergence.json").read_text()), _SCHEMA)
    text, data = _report(job)
    for said in (job.err, text):
        *_, first, second, third, _, _, last, all_ = [line for line in said.splitlines() if line[:4] != "    "]
        assert "DEADLOCK" in first + second + third
        assert last.startswith("job 2 of 2 (")
        assert last.endswith("2 ranks): no divergence in 4 calls of 2 ranks")
        assert all_ == "collectivelint: the ranks diverged in 1 of 2 jobs, see above; compared 7 calls of 4 ranks"
    assert [part["diverged"] for part in data["jobs"]] == [True, False]
    assert [sum(row["calls"] for row in part["calls"]) for part in data["jobs"]] == [3, 4]
    # The linter's finding is confirmed by the first job; in the second nobody was there.
    command = [sys.executable, "-m", "collectivelint", "confirm", str(JOBS / "several.py"), "--trace", "trace"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    where = f"several.py:{line_of('        dist.barrier()', 'several.py')}:"
    assert any(line.startswith("confirmed") and where in line for line in ran.stdout.splitlines()), ran.stdout


def test_jobs_that_agree(tmp_path: Path) -> None:
    job = _traced(tmp_path, "JOB2 good; JOB2 good")
    assert (job.code, job.verdicts) == (0, []), job.err
    text, data = _report(job)
    line = "collectivelint: no divergence in 8 calls of 4 ranks in 2 jobs"
    assert (job.err.splitlines()[-1], text.splitlines()[-1]) == (line, line)
    assert [part["job"]["number"] for part in data["jobs"]] == [1, 2]


def test_an_attempt_that_failed(trace: Callable[..., Job], tmp_path: Path) -> None:
    """The failed rank takes its time to leave; its launcher starts all ranks again, and the job goes on to its end."""

    def launcher(ranks: int) -> list[str]:
        return [*torchrun(ranks), "--max-restarts", "1"]

    job = trace("healthy.py", "restarted", str(tmp_path / "store"), launcher=launcher)
    assert job.code == 1
    assert "stopping the job" not in job.err
    assert [(rank.attempt, rank.end) for rank in jobs.load(job.folder).ranks.values()] == [(1, "finished")] * 3
    (verdict,) = job.verdicts
    assert (verdict["verdict"], verdict["job"]["attempt"], verdict["rule"]) == ("deadlock", 0, "CL204")
    assert verdict["sides"][1]["state"].startswith("raised ValueError: a lost connection to the data at ")
    text, _ = _report(job)
    for said in (job.err, text):
        assert "\nattempt 0 (" in said
        assert "3 ranks): DEADLOCK" in said
        assert said.splitlines()[-2].startswith("attempt 1 (")
        assert "the ranks diverged in 1 of 2 attempts, see above" in said.splitlines()[-1]


@pytest.mark.parametrize("wrong", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_processes_that_go_on_in_another_job(tmp_path: Path, wrong: bool) -> None:
    """Each of the four is rank 0 or 1 of a pair, and then of another pair; one pair of the latter disagrees."""
    job = _traced(tmp_path, f"JOB4 evaluates {'wrong' if wrong else ''}", "--on-divergence", "report")
    assert (job.code, [verdict["what"] for verdict in job.verdicts]) == (
        int(wrong),
        ["reduce operation"] * wrong,
    ), job.err
    _, data = _report(job)
    assert sorted(Path(part["job"]["store"]).name for part in data["jobs"][1:]) == [
        "evaluation0",
        "evaluation1",
        "training0",
        "training2",
    ]
    assert [Path(verdict["job"]["store"]).name for verdict in job.verdicts] == ["evaluation0"] * wrong


def test_a_job_beside_the_one_that_was_stopped(tmp_path: Path) -> None:
    """All of the run is stopped, but only one of its jobs has diverged: by the trace, and by the report."""
    job = _traced(tmp_path, "JOB2 busy & JOB2 mismatch; wait")
    assert job.code == 1, job.err
    assert "MISMATCH" in job.err
    assert "stopping the job" in job.err
    _, data = _report(job)
    for verdicts in (job.verdicts, data["verdicts"]):
        assert [verdict["what"] for verdict in verdicts] == ["operation"]
    assert job.err.splitlines()[-1].startswith("collectivelint: the ranks diverged in 1 of 2 jobs, see above")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_was_told_to_end(tmp_path: Path, number: signal.Signals) -> None:
    """Rank 0 waits for rank 1, which may have come; the report says no more than the launcher did."""
    command = [*forked.launcher(2), str(JOBS / "several.py"), "sleeps"]
    launcher = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", "trace", "--", *command]
    with subprocess.Popen(
        launcher, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("ready")
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
        finally:
            process.kill()
    folder = folders.newest(tmp_path / "trace")
    end = run_end.read(folder)
    assert end is not None
    assert (end.signals, len(end.reached)) == ((number.name,), 2)
    text, data = _report(Job(process.returncode, "", err, folder))
    assert (data["signals"], data["exit_code"], data["verdicts"]) == ([number.name], process.returncode, [])
    assert text.splitlines()[-1] == err.splitlines()[-1]
    assert f"by {number.name}" in text.splitlines()[-1]


def test_verdicts_of_the_schema_are_those_there_are() -> None:
    assert _SCHEMA["$defs"]["verdict"]["properties"]["verdict"]["enum"] == list(get_args(Verdict))


def _job(store: str, attempt: int, started: float, ranks: int = 2) -> jobs.Job:
    from collectivelint.runtime.traces.model import Trace

    return jobs.Job(store, ranks, attempt, started, recorded=Trace())


def test_names_of_jobs_and_attempts() -> None:
    def words(*found: jobs.Job) -> list[str]:
        return [name.partition(" (")[0] for name in jobs.names(found)]

    assert words(_job("a", 0, 1.0)) == [""]
    assert words(_job("a", 0, 1.0), _job("a", 0, 2.0)) == ["job 1 of 2", "job 2 of 2"]
    # Attempt 1 has left no trace, and met at another store.
    assert words(_job("a", 0, 1.0), _job("b", 2, 2.0)) == ["attempt 0", "attempt 2"]
    side_by_side = [_job("a", 0, 1.0), _job("b", 0, 2.0), _job("a", 1, 3.0)]
    assert words(*side_by_side) == ["job 1 of 2, attempt 0", "job 2 of 2", "job 1 of 2, attempt 1"]
