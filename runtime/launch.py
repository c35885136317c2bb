"""Running a job under the tracer, and watching its trace files from outside: nothing here needs torch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectivelint import atomic

from . import explain, folders
from .hook import READ_BACK, STOPPED, VARIABLE
from .monitor import POLL
from .watch import Watcher, end

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .record import Trace
    from .verdict import Divergence

#: How long the job may take to end after it was asked to.
_GRACE: Final = 8.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a traced job ended, `folder` has its run. `code` is the job's, or 1 when `divergence` was found."""

    code: int
    divergence: Divergence | None
    trace: Trace
    folder: Path


class CannotStartError(Exception):
    """The command of the job cannot be run at all."""


def run(
    command: Sequence[str],
    folder: Path,
    say: Callable[[str], None],
    *,
    hint_after: float = 30.0,
    abort: bool = True,
    read_back: bool = False,
) -> Outcome:
    """Run the job, its output untouched; when a divergence is proved, say so, and stop the job if `abort`.

    The trace goes into a new folder below `folder`. `hint_after`: seconds a rank waits for another that may still come, until
    it is said where that one is. `read_back`: read what checkpoints have written and loaded again.
    """
    executable = shutil.which(command[0])
    if executable is None:
        raise CannotStartError(f"{command[0]}: command not found")
    run = folders.create(folder)
    try:
        process = subprocess.Popen([executable, *command[1:]], env=environment(run, read_back=read_back))
    except OSError as error:
        raise CannotStartError(f"{command[0]}: {error.strerror}") from None
    told = _Told()

    def tell(seen: Divergence) -> None:
        """While the job runs. What is found when it has ended is in the outcome, and so is the first of all."""
        if process.returncode is None:
            headline = f"collectivelint: {explain.headline(seen)}; stopping the job\n"
            say(headline if abort else explain.text(seen))

    watcher = Watcher(run, say, hint_after, tell)
    with _passed_on(process, told):
        try:
            _watched(process, watcher, run, told, say, abort=abort)
        except BaseException:
            # Whatever has happened to us, no process is left behind.
            stop(process, run, say)
            raise
    code = process.returncode if process.returncode is not None else 1
    trace = watcher.conclude(told=bool(told.signals))
    if signal.SIGINT in told.signals:
        code = 128 + signal.SIGINT
    elif watcher.found is not None and not told.signals:
        code = 1
    return Outcome(code if code >= 0 else 128 - code, watcher.found, trace, run)


@dataclass(slots=True)
class _Told:
    """The signals that have told the job to end."""

    signals: list[int] = field(default_factory=list)


#: What schedulers and users send to a job; it decides what to do about it.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)


@contextmanager
def _passed_on(process: subprocess.Popen[bytes], told: _Told) -> Iterator[None]:
    """Pass signals on to the job instead of dying of them. The terminal has sent SIGINT to the job as well."""

    def handler(number: int, _: object) -> None:
        if number not in (signal.SIGUSR1, signal.SIGUSR2):
            told.signals.append(number)
        if number != signal.SIGINT or not _has_terminal():
            with suppress(ProcessLookupError):
                process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        # Python lets no other thread do that.
        yield
        return
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, known in before.items():
            signal.signal(number, known)


def _has_terminal() -> bool:
    # sys.stdin may be closed, or not be there at all.
    try:
        return os.isatty(0)
    except OSError:
        return False


def _watched(
    process: subprocess.Popen[bytes],
    watcher: Watcher,
    run: Path,
    told: _Told,
    say: Callable[[str], None],
    *,
    abort: bool,
) -> None:
    """Wait for the end of the job, and bring it about when its ranks have diverged."""
    while True:
        try:
            process.wait(POLL)
        except subprocess.TimeoutExpired:
            pass
        else:
            return
        # A job that has been told to end is left to do that.
        if not told.signals and watcher.look() and abort:
            watcher.deliver()
            with suppress(OSError):
                atomic.write(run / STOPPED, "The ranks diverged, see divergence.json.\n", follow=False)
            stop(process, run, say)
            return


def environment(run: Path, *, read_back: bool = False) -> dict[str, str]:
    """The job's environment: every Python process in it finds our sitecustomize first."""
    here = Path(__file__).resolve().parent
    package = Path(sys.modules["collectivelint"].__file__ or "").resolve().parent
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        **({READ_BACK: "1"} if read_back else {}),
        VARIABLE: str(run.resolve()),
        "COLLECTIVELINT_HOME": str(package),
        "COLLECTIVELINT_RUNTIME_HOME": str(here),
        "PYTHONPATH": os.pathsep.join([str(here / "bootstrap"), *([known] if known else [])]),
    }


def stop(process: subprocess.Popen[bytes], run: Path, say: Callable[[str], None]) -> None:
    """End the job: its launcher first, which ends its workers; ranks that are left after a while are killed, by id."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    end(run, ask=False, say=say)
