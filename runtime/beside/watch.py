"""Watching a job from another process: read its trace files until it ends, and report each divergence once.

`Watcher` serves the process that started the job; `attend` watches a job that another process started, also as a
separate process beside it when `COLLECTIVELINT_TRACE` is used without the launcher.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..say import say
from ..traces import folders, jobs, processes, run_end
from ..traces.run_end import RunEnd
from ..verdict import explain
from . import judging
from .joining import JoiningWatch
from .monitor import POLL, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..traces.jobs import Job
    from ..traces.reader import Reader
    from ..verdict.model import Divergence
    from .judging import Judged

#: How long (in seconds) ranks may take to end after they were asked to.
_GRACE: Final = 8.0
#: A rank that was there so many seconds before a signal may have been ended by what sent it.
_MOMENT: Final = 5.0


class Watcher:
    """Watches the ranks of a trace directory; `found` is their first divergence."""

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        hint_after: float,
        tell: Callable[[Divergence, str], None] | None = None,
    ) -> None:
        """`hint_after`: seconds that a rank waits before `say` is called with where the rank is that it waits for.

        `tell` is called with each divergence, and the name of the job if there are several; by default its text goes to
        `say`.
        """
        self.found: Divergence | None = None
        self._folder, self._say = folder, say
        self._announce = tell or (lambda seen, name: say(f"{name + ': ' if name else ''}{explain.text(seen)}"))
        self._monitor = Monitor(folder, hint_after, say)
        #: What another watcher of the run has reported before, and this one.
        self._records = judging.read(folder)
        self._joining = JoiningWatch(folder, hint_after, say)
        self._has_failed = False

    def look(self) -> bool:
        """Look, every `POLL` seconds; True if a divergence was found that was not known before."""
        try:
            self._joining.look()
            seen = self._monitor.look()
            if seen is not None:
                self._tell_of_a_running_job(seen)
        except Exception as error:
            # That is our trouble, not the job's.
            if not self._has_failed:
                self._say(f"collectivelint: the ranks cannot be compared: {type(error).__name__}: {error}\n")
            self._has_failed = True
            return False
        return seen is not None

    def deliver(self) -> None:
        """Give the verdict time to reach other hosts, before the ranks that forward it end."""
        self._monitor.deliver()

    def recent(self) -> frozenset[str]:
        """The names of the rings whose processes were alive a moment ago, before a signal to end."""
        return self._monitor.recent(_MOMENT)

    def diverged(self) -> frozenset[str]:
        """The names of the rings of the job whose divergence was found last."""
        return frozenset(reader.path.name for reader in self._monitor.latest)

    def conclude(self, is_told: Callable[[Job], bool]) -> tuple[Judged, ...]:
        """After the run: the verdict on each of its jobs, in the order of their starts.

        `is_told(job)`: whether the job was ended from outside; then a rank that did not make a call proves nothing.
        """
        unreadable: list[str] = []
        found = jobs.as_jobs(jobs.grouped([*jobs.opened(self._folder, unreadable), *self._monitor.removed()]))
        judged = []
        for job, name in zip(found, jobs.names(found), strict=True):
            trace = job.trace(unreadable)
            known = next((self._monitor.found[file] for file in job.files if file in self._monitor.found), None)
            try:
                judged.append(judging.judge(job, name, trace, told=is_told(job), known=known))
            except Exception as error:
                # The exit code of the job is not lost because of it.
                self._say(f"collectivelint: the ranks cannot be compared: {type(error).__name__}: {error}\n")
                judged.append(judging.summed(job, name, trace, known))
        for problem in unreadable:
            self._say(f"collectivelint: {problem}; the verdict covers the other ranks only\n")
        fresh = [
            item
            for item in judged
            if item.divergence is not None and not any(judging.is_of(record, item.job) for record in self._records)
        ]
        if records := judging.records(judged):
            self._write(records)
        for item in fresh:
            if item.divergence is not None:
                self.found = self.found or item.divergence
                self._announce(item.divergence, item.name)
        return tuple(judged)

    def _tell_of_a_running_job(self, seen: Divergence) -> None:
        self.found = self.found or seen
        found = self._monitor.jobs()
        here = {reader.path for reader in self._monitor.latest}
        number, job, name = next(
            (number, job, name)
            for number, (job, name) in enumerate(zip(found, jobs.names(found), strict=True), 1)
            if job.files & here
        )
        if not any(judging.is_of(record, job) for record in self._records):
            self._write([*self._records, judging.record(job, seen, number, len(found), name)])
        self._announce(seen, name)

    def _write(self, records: list[dict[str, Any]]) -> None:
        self._records = records
        try:
            judging.write(self._folder, records)
        except OSError as error:
            self._say(f"collectivelint: {self._folder}/{judging.FILE} cannot be written: {error.strerror}\n")


def _readers(folder: Path) -> Iterator[Reader]:
    return jobs.opened(folders.newest(folder), [])


def living(folder: Path) -> list[int]:
    """The processes of this host that are writing to the trace."""
    return [reader.pid for reader in _writers(folder)]


def _writers(folder: Path) -> list[Reader]:
    host = os.uname().nodename
    return [reader for reader in _readers(folder) if reader.host == host and _writes(reader)]


def _writes(reader: Reader) -> bool:
    """Whether the process of a trace is alive, and not another one with the same pid.

    A process that has the ring mapped for writing is the same; the start time also differs if the clock was set since.
    """
    if not reader.is_running or not processes.exists(reader.pid):
        return False
    try:
        return processes.has_mapped(reader.pid, reader.path)
    except OSError:
        return not Path("/proc/self/maps").exists() and processes.is_same(reader.pid, reader.begun)


def end(folder: Path, *, ask: bool, say: Callable[[str], None] = say) -> None:
    """End the processes of this host that write to the trace: SIGTERM first if `ask`, then SIGKILL after some time.

    Only a process whose start time is that of the trace is signalled; `say` reports the others.
    """
    deadline = time.monotonic() + _GRACE
    number = signal.SIGTERM if ask else signal.SIGKILL
    while writers := _writers(folder):
        try:
            ended = [reader for reader in writers if processes.send(reader.pid, reader.begun, number)]
        except processes.CannotSignalError as error:
            say(f"collectivelint: {error}; still running: {_numbers(writers)}\n")
            return
        if number == signal.SIGKILL or not ended:
            if spared := [reader for reader in writers if reader not in ended]:
                say(f"collectivelint: not ended, since their start is not the recorded one: {_numbers(spared)}\n")
            return
        while living(folder) and time.monotonic() < deadline:
            time.sleep(POLL)
        number = signal.SIGKILL


def _numbers(readers: list[Reader]) -> str:
    return ", ".join(f"rank {reader.number} (pid {reader.pid})" for reader in readers)


# --------------------------------------------------------------------------------------- jobs that others have started


def attend(
    folder: Path,
    say: Callable[[str], None],
    *,
    hint_after: float = 30.0,
    abort: bool = False,
    meanwhile: Callable[[], None] = lambda: None,
) -> tuple[Judged, ...]:
    """Watch the jobs in a trace directory until their ranks on this host have ended; returns the verdict on each.

    `meanwhile` is called at each look.
    """
    watcher = Watcher(folder, say, hint_after)
    while living(folder):
        meanwhile()
        if watcher.look() and abort:
            return _stopped(watcher, folder, say)
        time.sleep(POLL)
    # Whoever is gone without a word was ended from outside, and so were those that it made fail.
    return watcher.conclude(lambda job: any(reader.is_running for reader in job.readers))


def _stopped(watcher: Watcher, folder: Path, say: Callable[[str], None]) -> tuple[Judged, ...]:
    """End the ranks on this host, since some have diverged; returns the verdict on each job."""
    stopped = RunEnd(stopped=True, at=time.time(), reached=watcher.recent(), diverged=watcher.diverged())
    run_end.write(folder, stopped)
    watcher.deliver()
    end(folder, ask=True, say=say)
    return watcher.conclude(lambda job: run_end.ended_from_outside(job, {folder: stopped}))


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether this is the only watcher of the job on its host; else blocks until it is, or the job has ended."""
    import fcntl

    lock = folder / f"watch-{os.uname().nodename}.lock"
    with os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666), "w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not living(folder):
                    # Whoever has the lock says what there is to say.
                    yield False
                    return
                time.sleep(2 * POLL)
            except OSError:
                # A file system without locks.
                break
            else:
                break
        yield not _is_told(folder)


def _is_told(folder: Path) -> bool:
    """Whether another watcher has already reported a divergence of the newest job."""
    found = jobs.as_jobs(jobs.grouped(_readers(folder)))
    return bool(found) and any(judging.is_of(record, found[-1]) for record in judging.read(folder))


def main() -> None:
    """The entry point of the watcher that the tracer starts beside a job without one: `... FOLDER ON_DIVERGENCE`."""
    folder, on_divergence = Path(sys.argv[1]), sys.argv[2]
    # Ctrl-C is for the job. This process ends when that does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with suppress(OSError), _alone(folder) as first:
        if first:
            attend(folder, say, abort=on_divergence == "abort")
