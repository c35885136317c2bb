"""Running a job under the tracer, and watching its trace files from outside. Needs no torch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectivelint import atomic

from ..environment import CHECK_DATA, READ_BACK, STOPPED, VARIABLE
from ..traces import folders, run_end
from ..traces.run_end import RunEnd
from ..verdict import explain
from . import background, judging, signals
from .absent import NOTHING, Absent, of_run
from .descendants import GRACE, Descendants
from .monitor import POLL
from .unrecorded import UnrecordedRanks
from .watch import Watcher, end, living

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..verdict.model import Divergence
    from .judging import Judged

#: Seconds after a job was told to end: if all its ranks are there then, it is one that goes on.
_LEAVING: Final = 10.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a traced run ended. `code`: the exit code of the command, or 1 if ranks of a job diverged.

    `judged`: each job and attempt with its verdict, in the order of their starts; `folder`: the run's; `end`: the
    signals that ended it; `absent`: what the run is missing; `running`: ranks that still run although the command has
    ended.
    """

    code: int
    judged: tuple[Judged, ...]
    folder: Path
    end: RunEnd
    absent: Absent = NOTHING
    running: tuple[str, ...] = ()


class CannotStartError(Exception):
    """The command of the job cannot be started."""


def run(
    command: Sequence[str],
    folder: Path,
    say: Callable[[str], None],
    *,
    hint_after: float = 30.0,
    abort: bool = True,
    read_back: bool = False,
    check_data: bool = False,
) -> Outcome:
    """Run the job with its output unchanged; report a divergence once it is proved, and stop the job if `abort`.

    The trace goes into a new folder below `folder`. `hint_after`: seconds that a rank waits before a hint says where
    the rank is that it waits for. `read_back`: read what checkpoints have written and loaded again. `check_data`:
    compare which parameters are passed to calls, and results.
    """
    executable = shutil.which(command[0])
    if executable is None:
        raise CannotStartError(f"{command[0]}{_why_not(command[0])}")
    run = folders.create(folder)
    env = environment(run, read_back=read_back, check_data=check_data)
    try:
        process = subprocess.Popen([executable, *command[1:]], env=env)
    except OSError as error:
        folders.discard(run)
        raise CannotStartError(f"{command[0]}: {error.strerror}{_with_python(command[0])}") from None
    unrecorded = UnrecordedRanks(process, run, say)

    def tell(seen: Divergence, name: str) -> None:
        """Report a divergence while the job runs; `Outcome` has those found later, and the first one of each job."""
        if process.returncode is None:
            of = f"{name}: " * bool(name)
            say(
                f"collectivelint: {of}{explain.headline(seen)}; stopping the job\n"
                if abort
                else of + explain.text(seen)
            )

    watcher = Watcher(run, say, hint_after, tell)
    told = _Told(process, run, watcher)
    with signals.taken(process) as wait:
        try:
            _watched(watcher, unrecorded, run, told, say, wait, abort=abort)
        except BaseException:
            # Whatever has happened to us, no process is left behind.
            stop(process, run, say)
            raise
    code = process.returncode if process.returncode is not None else 1
    end = replace(told.end, code=code if code >= 0 else 128 - code)
    running = () if end.stopped else background.running(run)
    judged = watcher.conclude(lambda job: bool(running) or run_end.ended_from_outside(job, {run: end}))
    if end.stopped or (any(item.divergence for item in judged) and not (end.signals and code)):
        code = 1
    end = replace(end, unrecorded=tuple(unrecorded.found()))
    run_end.write(run, end)
    absent = of_run(run, judging.main_trace(judged), end.unrecorded, goes_on=bool(end.signals or running))
    return Outcome(code if code >= 0 else 128 - code, judged, run, end, absent, running)


def _why_not(name: str) -> str:
    """Why a command was not found."""
    if os.path.isdir(name):
        return " is a folder"
    if os.path.isfile(name) and (os.sep in name or name.endswith(".py")):
        return f" is not {'found in PATH' if os.access(name, os.X_OK) else 'executable'}{_with_python(name)}"
    return ": command not found"


def _with_python(name: str) -> str:
    return "; put `python` in front" if name.endswith(".py") else ""


class _Told:
    """The signals sent to the job from outside. `end` has those that end it."""

    def __init__(self, process: subprocess.Popen[bytes], run: Path, watcher: Watcher) -> None:
        self.process = process
        self.end = RunEnd()
        self._run, self._watcher = run, watcher
        self._last = 0
        #: When the last of the signals came.
        self._at = 0.0
        self._below: Descendants | None = None
        self._ranks: set[int] = set()

    def take(self, received: signals.Received) -> None:
        """Pass a signal on, unless the terminal has sent it to the job already."""
        if received.ends:
            if not self.end.signals:
                self.end = RunEnd(at=time.time(), reached=self._watcher.recent())
            self.end = replace(self.end, signals=(*self.end.signals, signal.Signals(received.number).name))
            # Now, since the next signal may end this process.
            run_end.write(self._run, self.end)
            self._last, self._at = received.number, time.monotonic()
            self._ranks = set(living(self._run))
            # Before they are told: who ends leaves children that nobody could find any more.
            self._below = self._below or _descendants(self.process)
        if received.is_typed:
            if self._below is not None:
                self._below.were_told()
        elif received.ends and self._below is not None:
            self._below.tell(received.number)
        else:
            with suppress(ProcessLookupError):
                self.process.send_signal(received.number)

    def stop(self) -> None:
        """Note that the tracer ends the job because ranks have diverged."""
        reached = self.end.reached | self._watcher.recent()
        self.end = replace(
            self.end, stopped=True, at=self.end.at or time.time(), reached=reached, diverged=self._watcher.diverged()
        )

    def is_leaving(self) -> bool:
        """Whether ranks may be missing because a signal asked them to end; false again if all of them go on running."""
        if not self.end.signals:
            return False
        if self._below is not None:
            self._below.look()
        return time.monotonic() < self._at + _LEAVING or not self._ranks <= set(living(self._run))

    def finish(self, say: Callable[[str], None]) -> None:
        """End the processes that the ended launcher had started."""
        if self._below is not None and time.monotonic() < self._at + GRACE:
            self._below.end(self._last, self._ranks, say)


def _descendants(process: subprocess.Popen[bytes]) -> Descendants | None:
    """The processes below our child; None if psutil is not installed or the child has ended."""
    if process.poll() is not None:
        return None
    try:
        return Descendants(process)
    except Exception:
        # Also a child that ends at this moment.
        return None


def _watched(
    watcher: Watcher,
    unrecorded: UnrecordedRanks,
    run: Path,
    told: _Told,
    say: Callable[[str], None],
    wait: signals.Wait,
    *,
    abort: bool,
) -> None:
    """Wait for the end of the job; stop it if its ranks diverge and `abort` is set."""
    process = told.process
    while process.poll() is None:
        deadline = time.monotonic() + POLL
        while process.poll() is None and (left := deadline - time.monotonic()) > 0:
            for received in wait(left):
                told.take(received)
        unrecorded.look()
        # A job that has been told to end is left to do that.
        if process.poll() is None and not told.is_leaving() and watcher.look() and abort:
            told.stop()
            watcher.deliver()
            with suppress(OSError):
                atomic.write(run / STOPPED, "The ranks diverged, see divergence.json.\n", follow=False)
            stop(process, run, say)
            return
    told.finish(say)


def environment(run: Path, *, read_back: bool = False, check_data: bool = False) -> dict[str, str]:
    """The job's environment, in which every Python process imports our sitecustomize first."""
    here = Path(__file__).resolve().parent.parent
    package = Path(sys.modules["collectivelint"].__file__ or "").resolve().parent
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        **({READ_BACK: "1"} if read_back else {}),
        **({CHECK_DATA: "1"} if check_data else {}),
        VARIABLE: str(run.resolve()),
        "COLLECTIVELINT_HOME": str(package),
        "COLLECTIVELINT_RUNTIME_HOME": str(here),
        "PYTHONPATH": os.pathsep.join([str(here / "bootstrap"), *([known] if known else [])]),
    }


def stop(process: subprocess.Popen[bytes], run: Path, say: Callable[[str], None]) -> None:
    """End the job: its launcher first, which ends its workers; what is left after a while is killed, by id."""
    below = _descendants(process)
    if below is not None:
        below.end(signal.SIGTERM, living(run), say)
    elif process.poll() is None:
        process.terminate()
    try:
        process.wait(0 if below is not None else GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end(run, ask=False, say=say)
