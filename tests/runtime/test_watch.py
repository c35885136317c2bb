"""Ranks are compared as well where nobody has put the launcher in front of the job."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.beside import watch
from collectivelint.runtime.beside.live_page import LivePage

from . import forked
from .conftest import JOBS, line_of, run, torchrun
from .test_damaged import _rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Job


def _alone(
    tmp_path: Path, scenario: str, launcher: Callable[[int], list[str]] = forked.launcher, **environment: str
) -> Job:
    folder = tmp_path / "trace"
    command = [*launcher(3), "-m", "collectivelint.runtime", str(JOBS / "scenarios.py"), scenario]
    return run(command, folder, tmp_path, COLLECTIVELINT_TRACE=str(folder), **environment)


def _watchers(folder: Path) -> list[int]:
    """Processes that watch this folder."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if any(word.startswith(str(folder).encode()) for word in words) and any(
            b"runtime.watch" in word for word in words
        ):
            found.append(int(entry.name))
    return found


def test_a_deadlock_ends_the_job_if_it_shall(tmp_path: Path) -> None:
    job = _alone(tmp_path, "outsider", torchrun, COLLECTIVELINT_ON_DIVERGENCE="abort")
    assert job.code != 0
    assert job.err.count("DEADLOCK") == 1, job.err
    waits = line_of("dist.broadcast(torch.zeros(1), src=0, group=service)") + 3
    assert job.sides()[0] == ([0, 1], "barrier", waits)


def test_without_being_told_the_job_goes_on(tmp_path: Path) -> None:
    job = _alone(tmp_path, "reduce_op")
    assert job.code == 0
    assert job.err.count("MISMATCH") == 1, job.err
    assert job.divergence is not None
    assert job.divergence["what"] == "reduce operation"


def test_nothing_is_said_of_a_correct_job_and_nobody_stays(tmp_path: Path) -> None:
    job = _alone(tmp_path, "agree_only")
    assert (job.code, job.divergence) == (0, None)
    assert "collectivelint" not in job.err
    deadline = time.monotonic() + 20
    while _watchers(job.folder) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _watchers(job.folder) == []


def test_watching_a_job_that_runs_already(tmp_path: Path) -> None:
    code = "from collectivelint.runtime import trace\nimport runpy, sys\n"
    code += "with trace(sys.argv[1], on_divergence=None):\n    sys.argv = sys.argv[2:]\n"
    code += "    runpy.run_path(sys.argv[0], run_name='__main__')\n"
    script = tmp_path / "job.py"
    script.write_text(code)
    folder = tmp_path / "trace"
    command = [*torchrun(3), str(script), str(folder), str(JOBS / "scenarios.py"), "outsider"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as job:
        try:
            deadline = time.monotonic() + 60
            while len(watch.living(folder)) < 3 and time.monotonic() < deadline:
                time.sleep(0.1)
            assert _watchers(folder) == []
            ran = run(
                [sys.executable, "-m", "collectivelint", "watch", "--on-divergence", "abort", str(folder)],
                folder,
                tmp_path,
            )
            assert ran.code == 1, ran.err
            assert "DEADLOCK" in ran.err
            assert job.wait(60) != 0
        finally:
            job.kill()


def test_a_page_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    said: list[str] = []
    page = LivePage(tmp_path / "no-run", tmp_path / "run.html", said.append)
    assert not page.finish()
    assert not page.finish()
    assert len(said) == 1
    assert said[0].startswith(f"collectivelint: {tmp_path}/run.html is not written: ")
    assert not list(tmp_path.iterdir())


#: The report of a run, with a disk that takes forever.
_REPORTS = """
import os, sys, time
os.fsync = lambda handle: (print("writing", flush=True), time.sleep(60))
from collectivelint.runtime.report import report
report()
"""


def test_nothing_stays_of_a_page_whose_process_is_ended(tmp_path: Path) -> None:
    # As `watch` does it when the job ends.
    _rank(tmp_path / "run", 0, 3)
    (tmp_path / "pages").mkdir()
    command = [sys.executable, "-c", _REPORTS, str(tmp_path / "run"), "--live", "3"]
    with subprocess.Popen(
        [*command, "--html", str(tmp_path / "pages" / "run.html")], cwd=tmp_path, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        assert "writing\n" in iter(writer.stdout.readline, "")
        assert list((tmp_path / "pages").iterdir())
        writer.terminate()
    assert not list((tmp_path / "pages").iterdir())


@pytest.mark.parametrize("folder", ["", "missing"])
def test_there_has_to_be_a_job(tmp_path: Path, folder: str) -> None:
    ran = run([sys.executable, "-m", "collectivelint", "watch", str(tmp_path / folder)], tmp_path, tmp_path)
    assert ran.code == 2
    assert "Usage" in ran.err


_LEAVES = """
import os, sys, time
from pathlib import Path
from collectivelint.runtime.traces.writer import Writer
writer = Writer(Path(sys.argv[1]), rank=0, world_size=1, attempt=0, started=time.time(), host=os.uname().nodename)
print("ready", flush=True)
sys.stdin.readline()
writer.finish("finished", "")
print("left", flush=True)
sys.stdin.readline()
"""


def test_a_rank_that_has_left_its_group_need_not_have_ended(tmp_path: Path) -> None:
    popen = subprocess.Popen[str]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with popen([sys.executable, "-c", _LEAVES, str(tmp_path)], cwd=tmp_path, text=True, **pipes) as rank:
        assert rank.stdin is not None
        assert rank.stdout is not None
        try:
            assert rank.stdout.readline() == "ready\n"
            page = tmp_path / "run.html"
            command = [sys.executable, "-m", "collectivelint", "watch", str(tmp_path), "--html", str(page)]
            with popen(command, cwd=tmp_path, text=True, **pipes) as stopped:
                while stopped.poll() is None and not page.exists():
                    time.sleep(0.05)
                stopped.terminate()
                assert stopped.wait(30) == 143
            # The job runs, and the page does not wait for another one.
            assert '<html lang="en">' in page.read_text()
            assert re.search(r">running, as of [\d:]+; this page is not written again<", page.read_text())
            page.unlink()
            with popen(command, cwd=tmp_path, text=True, **pipes) as watching:
                ring = next(tmp_path.glob("*.ring"))
                while watching.poll() is None and str(ring) not in Path(f"/proc/{watching.pid}/maps").read_text():
                    time.sleep(0.05)
                # It looks at which runs there are, then at the ranks of one, and has the page written.
                while watching.poll() is None and not page.exists():
                    time.sleep(0.05)
                assert '<html lang="en" data-live="3">' in page.read_text()
                rank.stdin.write("\n")
                rank.stdin.flush()
                assert rank.stdout.readline() == "left\n"
                _, err = watching.communicate(timeout=30)
            assert rank.poll() is None
            assert watching.returncode == 0, err
            # The last page is not read again.
            assert '<html lang="en">' in page.read_text()
            assert err == (
                "collectivelint: all traced ranks on this host have ended\n"
                "collectivelint: no divergence in 0 calls of 1 rank\n"
            )
        finally:
            rank.kill()
