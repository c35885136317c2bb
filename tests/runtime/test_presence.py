"""Nothing recorded is not nothing wrong: ranks that never join, that are not recorded, or that go on behind the command."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import folders, jobs, rank_processes
from collectivelint.runtime.traces.writer import Writer

from .conftest import JOBS, LONGEST, Job, line_of, run, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable

#: Two ranks without a launcher of their own, as under MPI; the exit code is that of rank 0.
_BOTH = """
for rank in 0 1; do RANK=$rank LOCAL_RANK=$rank "$@" & pids[$rank]=$!; done
wait ${pids[0]}; code=$?; wait ${pids[1]}; exit $code
"""
_JOB = str(JOBS / "joining.py")


def _environment() -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2"}


def _trace(tmp_path: Path, *command: str, hint_after: str = "1", **environment: str) -> Job:
    folder = tmp_path / "trace"
    words = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder), "--hint-after", hint_after]
    return run([*words, "--", *command], folder, tmp_path, **environment)


def _both(tmp_path: Path, *command: str) -> Job:
    return _trace(tmp_path, "bash", "-c", _BOTH, "bash", *command, **_environment())


def _report(job: Job) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "collectivelint", "report", str(job.folder)]
    return subprocess.run(command, cwd=job.folder, capture_output=True, text=True, check=False)


def _noted(tmp_path: Path, what: str, note: str = "rank 1 has not reached it", *words: str) -> tuple[Job, str]:
    """A job that goes on when the note was given; that line and the next."""
    command = [sys.executable, "-m", "collectivelint", "trace", "--hint-after", "1", "--"]
    script = ["bash", "-c", _BOTH, "bash", *words, sys.executable, _JOB, what, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **_environment()}
    with subprocess.Popen(
        [*command, *script], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        before = ""
        while note not in (line := process.stderr.readline()):
            assert line, before
            before += line
        said = process.stderr.readline() if what != "lasts" else ""
        (tmp_path / "noted").touch()
        err = process.stderr.read()
        code = process.wait(LONGEST)
    return Job(code, "", err, folders.newest(tmp_path / "collectivelint-trace")), line + said


_WAITS = f"{_JOB}:{line_of('        time.sleep', 'joining.py')} wait_for: time.sleep(0.1)"
_JOINS = f"{_JOB}:{line_of('    dist.init_process_group', 'joining.py')}"


def test_a_rank_that_ends_before_it_joins(tmp_path: Path) -> None:
    job = _both(tmp_path, sys.executable, _JOB, "dies")
    headline, waits, ends, last = job.err.splitlines()[-4:]
    assert headline == "INIT: rank 1 never reached init_process_group; rank 0 waited there"
    assert waits.startswith("  rank 0 waited ")
    assert f"s at {_JOINS} and raised DistStoreError: " in waits
    assert ends.startswith("  rank 1 exited ")
    assert last == "collectivelint: nothing was traced; rank 1 never reached init_process_group"
    assert job.code == 1
    report = _report(job)
    assert (report.returncode, report.stdout.splitlines()) == (1, [headline, waits, ends])


def test_a_rank_that_does_something_else(tmp_path: Path) -> None:
    job, said = _noted(tmp_path, "sleeps")
    assert f"in init_process_group() at {_JOINS}; rank 1 has" in said
    assert said.splitlines()[1] == f"  rank 1 is at {_WAITS}"
    headline, waits, stands, above, last = job.err.splitlines()[-5:]
    assert headline == "INIT: rank 1 never reached init_process_group; rank 0 waited there"
    assert waits == f"  rank 0 called it at {_JOINS}; it never returned"
    assert stands == f"  rank 1 was killed, or called os._exit; it was last seen at {_WAITS}"
    assert above.endswith('<module>: wait_for("noted")')
    assert last == "collectivelint: nothing was traced; rank 1 never reached init_process_group"
    assert job.code == 1


def test_ranks_that_do_not_connect(tmp_path: Path) -> None:
    """All are there."""
    job, said = _noted(tmp_path, "apart", "all 2 ranks are in init_process_group() at ")
    assert re.search(r" have not connected for \d+ s$", said.splitlines()[0]), said
    assert job.code == 0


@pytest.mark.slow
def test_a_rank_that_is_late_and_what_it_runs_is_no_rank(tmp_path: Path) -> None:
    """A note, no verdict."""
    job, said = _noted(tmp_path, "late")
    assert said.splitlines()[1].startswith("  rank 1 is at ")
    assert job.err.splitlines()[-1] == "collectivelint: no divergence in 2 calls of 2 ranks"
    assert job.code == 0
    assert [one.rank for one in rank_processes.read(job.folder)] == [0, 1]


def test_an_interpreter_that_ignores_the_environment(tmp_path: Path) -> None:
    job = _both(tmp_path, sys.executable, "-I", _JOB, "agrees")
    name = Path(sys.executable).name
    remedy = f"start the script with `{name} -I -m collectivelint.runtime {_JOB}`"
    said = f"ranks 0-1 are not recorded, since `{name} -I` ignores the environment; {remedy}"
    assert job.err.splitlines()[-1] == f"collectivelint: nothing was traced; {said}"
    assert job.code == 1
    assert f"MISSING: {said}" in _report(job).stdout
    # And that works.
    job = _both(tmp_path, sys.executable, "-I", "-m", "collectivelint.runtime", _JOB, "agrees")
    assert job.err.splitlines()[-1] == "collectivelint: no divergence in 2 calls of 2 ranks"
    assert job.code == 0


def test_an_environment_without_our_variables(tmp_path: Path) -> None:
    said = "ranks 0-1 are not recorded, since COLLECTIVELINT_TRACE is not in the environment"
    job, note = _noted(tmp_path, "lasts", said, "env", "-u", "COLLECTIVELINT_TRACE")
    assert note.startswith("note: ")
    assert f"nothing was traced; {said}" in job.err.splitlines()[-1]
    assert job.code == 1


def test_a_rank_whose_disk_is_full(tmp_path: Path) -> None:
    job = _both(tmp_path, sys.executable, _JOB, "full")
    said = "rank 1 was not recorded: File too large"
    assert job.err.splitlines()[-1] == f"collectivelint: no divergence in 1 call of 1 of 2 ranks, but {said}"
    assert job.code == 1
    assert f"MISSING: {said}" in _report(job).stdout


@pytest.mark.slow
def test_all_ranks_without_room(tmp_path: Path) -> None:
    """Not even for the record of their start: the name of its file has the rank."""
    script = 'trap "" XFSZ; ulimit -f 0; exec "$@"'
    job = _both(tmp_path, "bash", "-c", script, "bash", sys.executable, _JOB, "agrees")
    said = "ranks 0-1 were not recorded: not even the start of the process could be written"
    assert job.err.splitlines()[-1] == f"collectivelint: nothing was traced; {said}"
    assert job.code == 1


@pytest.mark.slow
def test_ranks_that_go_on_behind_the_command(tmp_path: Path) -> None:
    script = '"$@" > log 2>&1 & disown; until [ -e in-0 ] && [ -e in-1 ]; do sleep 0.1; done'
    try:
        command = [*torchrun(2), _JOB, "lasts", str(tmp_path)]
        job = _trace(tmp_path, "bash", "-c", script, "bash", *command)
        last = job.err.splitlines()[-1]
        assert last.startswith(
            "collectivelint: the command has ended, but ranks 0-1 still run; no divergence so far in "
        )
        assert last.endswith(f"`collectivelint watch {job.folder}` follows the ranks")
        assert job.code == 0
    finally:
        (tmp_path / "noted").touch()
    deadline = time.monotonic() + LONGEST
    while (
        not all(rank.end == "finished" for rank in jobs.load(job.folder).ranks.values()) and time.monotonic() < deadline
    ):
        time.sleep(0.1)
    assert "no divergence in 2 calls of 2 ranks" in _report(job).stdout


def test_a_launcher_with_a_rank_of_its_own(tmp_path: Path) -> None:
    """As where a cluster gives each host a RANK for torchrun's --node-rank."""
    job = _trace(tmp_path, *torchrun(2), _JOB, "agrees", RANK="0", WORLD_SIZE="1")
    assert job.err.splitlines()[-1] == "collectivelint: no divergence in 2 calls of 2 ranks"
    assert job.code == 0


def test_ranks_that_use_no_group(tmp_path: Path) -> None:
    job = _both(tmp_path, sys.executable, "-c", "pass")
    assert job.err.splitlines()[-1] == "collectivelint: nothing was traced; ranks 0-1 did not call init_process_group"
    assert job.code == 0


@pytest.mark.parametrize(("local", "code"), [("2", 1), ("1", 0)])
def test_ranks_that_were_not_seen(tmp_path: Path, local: str, code: int) -> None:
    """On this host, or on another: only one of them is wrong."""
    made = folders.create(tmp_path)
    environment = {**os.environ, "RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": local}
    start = "import sys, pathlib; from collectivelint.runtime.inside import presence; presence.start(pathlib.Path(sys.argv[1]))"
    subprocess.run([sys.executable, "-c", start, str(made)], cwd=tmp_path, env=environment, check=True)
    Writer(made, rank=0, world_size=2, attempt=0, started=1.0, host=os.uname().nodename).finish("finished")
    report = subprocess.run(
        [sys.executable, "-m", "collectivelint", "report", str(made)], cwd=tmp_path, capture_output=True, text=True
    )
    assert "no process of rank 1 was seen here" in report.stdout
    assert report.returncode == code


_FORKS = """
import os, pathlib, signal, subprocess, sys, threading, warnings
from collectivelint.runtime.inside import presence

presence.start(pathlib.Path(sys.argv[1]))
# Since Python 3.12 a fork in a process of several threads is worth a warning.
warnings.simplefilter("error")
threads = lambda: len(os.listdir("/proc/self/task"))
assert (threads(), threading.active_count()) == (2, 1)
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(threads() - 1)
    assert os.waitpid(pid, 0)[1] == 0
assert threads() == 2
# It takes no signal that the job waits for.
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
os.kill(os.getpid(), signal.SIGUSR1)
assert signal.sigwait([signal.SIGUSR1]) == signal.SIGUSR1
"""


def test_the_thread_before_the_group_harms_nothing(tmp_path: Path) -> None:
    made = folders.create(tmp_path)
    command = [sys.executable, "-c", _FORKS, str(made)]
    ran = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "RANK": "0", "WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    (one,) = rank_processes.read(made)
    assert (one.rank, one.world_size, bool(one.ended), one.entered) == (0, 2, True, 0.0)


@pytest.mark.parametrize("damage", [lambda file: file.write_bytes(b""), lambda file: file.write_text('{"begun": "x"}')])
def test_a_damaged_record_still_has_its_name(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    damage(tmp_path / "rank1-of-4-host-7.present")
    damage(tmp_path / "rank9-of-4-host-7.present")
    (one,) = rank_processes.read(tmp_path)
    assert (one.rank, one.world_size, one.pid, one.host, one.job) == (1, 4, 7, "host", "")
