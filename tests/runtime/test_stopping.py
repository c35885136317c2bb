"""How a job is told to end and what is left of it: nothing, and nothing else is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Final

import pytest
from collectivelint.runtime.beside import descendants, launch
from collectivelint.runtime.beside.watch import end
from collectivelint.runtime.traces import folders, processes

from .conftest import JOBS, run, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("psutil")

_TRACE: Final = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", "trace", "--"]
#: A job that says when it can be told something, and what it was told in one second then.
_LISTENS: Final = """
import os, signal, sys, time
told = []
signal.signal(signal.SIGINT, lambda number, _: told.append(number))
signal.signal(signal.SIGTERM, lambda number, _: told.append(number))
os.write(1, b"ready %d\\n" % os.getpid())
while not told: time.sleep(0.02)
time.sleep(1)
print("told", len(told), flush=True)
"""
_SLEEPS: Final = "import os, time; os.write(1, b'ready %d\\n' % os.getpid()); time.sleep(100)"
_IGNORES: Final = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n{_SLEEPS}"
#: With a terminal of its own, as started from a shell.
_AT_A_TERMINAL: Final = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler); os.execv(sys.executable, sys.argv[1:])"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []

    def popen(command: list[str], stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _ready(process: subprocess.Popen[str]) -> int:
    """The job's own number, when it can be told something; written at once, since several may share a pipe."""
    assert process.stdout is not None
    word, number = process.stdout.readline().split()
    assert word == "ready"
    return int(number)


def _python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def _shell(tmp_path: Path, code: str, *, before: str = "") -> list[str]:
    """A wrapper around a job."""
    (tmp_path / "job.py").write_text(code)
    return ["sh", "-c", f"{before}{sys.executable} job.py; echo wrapper done"]


# ------------------------------------------------------------------------------------------------ what is left of a job


def test_a_wrapper_around_torchrun(tmp_path: Path) -> None:
    inner = " ".join([*torchrun(3), str(JOBS / "scenarios.py"), "outsider"])
    job = run([*_TRACE, "sh", "-c", f"{inner}; echo wrapper done"], tmp_path / "trace", tmp_path)
    lines = job.err.splitlines()
    assert job.code == 1
    assert lines[-1].startswith("collectivelint: the ranks diverged, see above"), job.err
    assert any("torchrun has ended the ranks" in line for line in lines), job.err
    assert not [pid for pid in _numbers(job.folder) if processes.exists(pid)]


def _numbers(folder: Path) -> list[int]:
    return [int(file.stem.rpartition("-")[2]) for file in folder.glob("*.ring")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_what_a_wrapper_leaves(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], number: signal.Signals
) -> None:
    process = start([*_TRACE, *_shell(tmp_path, _SLEEPS)])
    job = _ready(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert not processes.exists(job)
    assert process.returncode == 128 + number
    assert f"but the job was ended by {number.name}" in err.splitlines()[-1]


def test_who_does_not_listen_is_killed_and_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descendants, "GRACE", 1.0)
    (tmp_path / "job.py").write_text(_IGNORES)
    words = ["sh", "-c", f"trap '' TERM; {sys.executable} job.py & {sys.executable} job.py; wait"]
    with (
        subprocess.Popen(_python(_SLEEPS), stdout=subprocess.PIPE, text=True) as other,
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process,
    ):
        try:
            _ready(other)
            jobs = [_ready(process), _ready(process)]
            launch.stop(process, folders.create(tmp_path / "trace"), print)
            assert not any(map(processes.exists, [process.pid, *jobs]))
            assert other.poll() is None
        finally:
            other.kill()
            process.kill()


_LAUNCHER: Final = f"""
import signal, subprocess, sys
def stop(*_):
    worker.terminate()
    worker.wait()
    sys.exit(3)
worker = subprocess.Popen([sys.executable, "-c", {_LISTENS!r}])
signal.signal(signal.SIGTERM, stop)
signal.pause()
"""


def test_ranks_are_left_to_their_launcher(tmp_path: Path) -> None:
    """Even below a wrapper that keeps the signal to itself: a second one would cut short what they do then."""
    words = _shell(tmp_path, _LAUNCHER, before="trap '' INT; trap : TERM; ")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as process:
        try:
            below = descendants.Descendants(process)
            worker = _ready(process)
            time.sleep(0.2)  # The launcher's handler is there then.
            below.end(signal.SIGTERM, {worker}, print)
            assert process.stdout is not None
            assert process.stdout.read().split("\n")[0] == "told 1"
            assert not processes.exists(worker)
        finally:
            process.kill()


def test_without_psutil_the_launcher_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    with subprocess.Popen(_python(_SLEEPS), stdout=subprocess.PIPE, text=True) as process:
        try:
            _ready(process)
            launch.stop(process, folders.create(tmp_path / "trace"), print)
            assert process.returncode == -signal.SIGTERM
        finally:
            process.kill()


# ----------------------------------------------------------------------------------------------------- interruptions


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """Both ends of one."""
    ends = os.openpty()
    assert termios.tcgetattr(ends[1])[3] & termios.ISIG
    yield ends
    for number in ends:
        os.close(number)


@pytest.mark.parametrize("way", ["typed", "sent"])
def test_an_interruption_reaches_the_job_once(
    start: Callable[..., subprocess.Popen[str]], terminal: tuple[int, int], way: str
) -> None:
    process = start([*_python(_AT_A_TERMINAL), *_TRACE, *_python(_LISTENS)], terminal[1])
    _ready(process)
    if way == "typed":
        os.write(terminal[0], b"\x03")
    else:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out == "told 1\n", err
    # It has taken notice, and ended as it wanted to.
    assert process.returncode == 0
    assert "interrupted" not in err


@pytest.mark.parametrize("way", ["typed", "sent"])
def test_a_job_that_dies_of_an_interruption(
    start: Callable[..., subprocess.Popen[str]], terminal: tuple[int, int], way: str
) -> None:
    process = start([*_python(_AT_A_TERMINAL), *_TRACE, *_python(_SLEEPS)], terminal[1])
    _ready(process)
    if way == "typed":
        os.write(terminal[0], b"\x03")
    else:
        process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.splitlines()[-1].endswith("but the job was interrupted by SIGINT")


@pytest.mark.parametrize("way", ["typed", "sent"])
def test_an_interruption_of_a_wrapper(
    tmp_path: Path, start: Callable[..., subprocess.Popen[str]], terminal: tuple[int, int], way: str
) -> None:
    """A shell waits for what it has started."""
    process = start([*_python(_AT_A_TERMINAL), *_TRACE, *_shell(tmp_path, _LISTENS)], terminal[1])
    _ready(process)
    if way == "typed":
        os.write(terminal[0], b"\x03")
    else:
        process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert out.splitlines()[0] == "told 1", err


def test_where_the_system_does_not_say_who_has_sent_a_signal(
    start: Callable[..., subprocess.Popen[str]],
) -> None:
    code = "import signal, sys; del signal.sigtimedwait; from collectivelint.cli import main; main()"
    process = start([*_python(code), *_TRACE[3:], *_python(_LISTENS)])
    _ready(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "told 1\n"), err


def test_a_code_of_its_own_after_a_signal(start: Callable[..., subprocess.Popen[str]]) -> None:
    process = start([*_TRACE, *_python(f"{_LISTENS}\nsys.exit(7)")])
    _ready(process)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 7
    assert err.splitlines()[-1].endswith("but the job was ended by SIGTERM and its exit code is 7")


_GOES_ON: Final = """
import os, time, torch, torch.distributed as dist
dist.init_process_group("gloo")
dist.barrier()
if dist.get_rank() == 0:
    print("ready", os.getpid(), flush=True)
time.sleep(3)
dist.barrier() if dist.get_rank() == 0 else dist.all_reduce(torch.ones(1))
time.sleep(100)
"""


def test_a_job_that_goes_on_is_still_watched(tmp_path: Path, start: Callable[..., subprocess.Popen[str]]) -> None:
    pytest.importorskip("torch")
    (tmp_path / "job.py").write_text(_GOES_ON)
    wrapper = ["sh", "-c", f"trap : TERM; {' '.join(torchrun(2))} job.py"]
    code = "from collectivelint.runtime.beside import launch; launch._LEAVING = 0.5\n"
    code += "from collectivelint.cli import main; main()"
    process = start([*_python(code), *_TRACE[3:], *wrapper])
    try:
        _ready(process)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=90)
    finally:
        end(folders.newest(tmp_path / "trace"), ask=False)
    assert process.returncode == 1
    assert "stopping the job" in err
    assert err.splitlines()[-1].startswith("collectivelint: the ranks diverged"), err
