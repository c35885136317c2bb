"""Watching a job from outside: its trace files are looked at until it ends, and what is found there is told once.

`Watcher` does that for whoever has started the job; `attend` for a job that somebody else has started, also as a process
of its own beside it: `COLLECTIVELINT_TRACE` without the launcher.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectivelint import atomic

from ..say import say
from ..traces import folders, jobs, processes
from ..traces.model import Trace
from ..verdict import explain, matching
from .joining import JoiningWatch
from .liveness import alive
from .monitor import POLL, Monitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..traces.reader import Reader
    from ..verdict.model import Divergence

#: How long (in seconds) ranks may take to end after they were asked to.
_GRACE: Final = 8.0


class Watcher:
    """Looks at the ranks of a trace directory; `found` is their first divergence."""

    def __init__(
        self,
        folder: Path,
        say: Callable[[str], None],
        hint_after: float,
        tell: Callable[[Divergence], None] | None = None,
    ) -> None:
        """`hint_after`: seconds a rank waits for another that may still come, until `say` gets where that one is.

        `tell` gets each divergence; by default its full text goes to `say`.
        """
        self.found: Divergence | None = None
        self._folder, self._say = folder, say
        self._announce = tell or (lambda seen: say(explain.text(seen)))
        self._monitor = Monitor(folder, hint_after, say)
        self._joining = JoiningWatch(folder, hint_after, say)
        self._has_failed = False

    def look(self) -> bool:
        """Look, every `POLL` seconds; True if a divergence was found that was not known before."""
        try:
            self._joining.look()
            seen = self._monitor.look()
        except Exception as error:
            # That is our trouble, not the job's.
            if not self._has_failed:
                self._say(f"collectivelint: the ranks cannot be compared: {type(error).__name__}: {error}\n")
            self._has_failed = True
            return False
        if seen is not None:
            self._tell(seen)
        return seen is not None

    def deliver(self) -> None:
        """Give the verdict time to reach other hosts, before the processes end that carry it."""
        self._monitor.deliver()

    def conclude(self, *, told: bool) -> Trace:
        """After the job: what the ranks have left. `told`: something from outside has ended it.

        Then a rank that did not come proves nothing: everybody was stopped somewhere.
        """
        trace, unreadable = read(self._folder, self._monitor.removed())
        for problem in unreadable:
            self._say(f"collectivelint: {problem}; the verdict is about the other ranks only\n")
        if self.found is None and trace.ranks:
            try:
                seen = matching.compare(_before_the_end(trace) if told else trace, over=not told)
            except Exception as error:
                # The exit code of the job is not lost because of it.
                self._say(f"collectivelint: the ranks cannot be compared: {type(error).__name__}: {error}\n")
                return trace
            if seen is not None:
                self._tell(seen)
        return trace

    def _tell(self, seen: Divergence) -> None:
        self.found = self.found or seen
        text = json.dumps(explain.as_dict(self.found), indent=2) + "\n"
        try:
            atomic.write(self._folder / "divergence.json", text, follow=False)
        except OSError as error:
            self._say(f"collectivelint: {self._folder}/divergence.json cannot be written: {error.strerror}\n")
        self._announce(seen)


def _before_the_end(trace: Trace) -> Trace:
    """The trace as if no rank had left because it was told to. An exception of its own is another matter."""
    ranks = {
        number: rank
        if rank.end == "untraced" or (rank.end == "raised" and not rank.error.startswith("KeyboardInterrupt"))
        else replace(rank, end="running", error="")
        for number, rank in trace.ranks.items()
    }
    return alive(Trace(ranks), always=True)


def read(folder: Path, removed: Iterable[Reader] = ()) -> tuple[Trace, list[str]]:
    """The trace so far, and what of it cannot be read; empty if no process has joined a job yet.

    `removed`: readers of files that were in the folder.
    """
    unreadable: list[str] = []
    found = jobs.by_job([*jobs.opened(folders.newest(folder), unreadable), *removed])
    return Trace(jobs.ranks(found[0], unreadable) if found else {}), unreadable


def _readers(folder: Path) -> Iterator[Reader]:
    return jobs.opened(folders.newest(folder), [])


def living(folder: Path) -> list[int]:
    """The processes of this host that write to the trace now."""
    return [reader.pid for reader in _writers(folder)]


def _writers(folder: Path) -> list[Reader]:
    host = os.uname().nodename
    return [reader for reader in _readers(folder) if reader.host == host and _writes(reader)]


def _writes(reader: Reader) -> bool:
    """True if its process is alive, and still the same: its number may be another's by now.

    One that has the ring mapped to write to it is the same. Its start time also differs when the clock was set since.
    """
    if not reader.is_running or not processes.exists(reader.pid):
        return False
    try:
        return processes.has_mapped(reader.pid, reader.path)
    except OSError:
        return not Path("/proc/self/maps").exists() and processes.is_same(reader.pid, reader.begun)


def end(folder: Path, *, ask: bool, say: Callable[[str], None] = say) -> None:
    """End the processes of this host that write to the trace; `ask` them first, and give them some time.

    Only a process that began when the trace says is signalled; `say` which others were not.
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
    folder: Path, say: Callable[[str], None], *, hint_after: float = 30.0, abort: bool = False
) -> Divergence | None:
    """Watch the job that writes to a trace directory until its ranks on this host have ended; its divergence."""
    watcher = Watcher(folder, say, hint_after)
    while living(folder):
        if watcher.look() and abort:
            watcher.deliver()
            end(folder, ask=True, say=say)
            return watcher.found
        time.sleep(POLL)
    trace, _ = read(folder)
    # Whoever is gone without a word was ended from outside, and so were those that it made fail.
    watcher.conclude(told=any(rank.end == "running" for rank in trace.ranks.values()))
    return watcher.found


@contextmanager
def _alone(folder: Path) -> Iterator[bool]:
    """Whether this is the one process of its host that watches the job. Else it waits until its turn comes, or the job has ended."""
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
    """Whether another watcher has reported already that these ranks have diverged."""
    try:
        told = (folder / "divergence.json").stat().st_mtime
    except OSError:
        return False
    return told >= max((rank.started for rank in read(folder)[0].ranks.values()), default=0.0)


def main() -> None:
    """What the tracer starts beside a job that nobody watches: `... FOLDER ON_DIVERGENCE`."""
    folder, on_divergence = Path(sys.argv[1]), sys.argv[2]
    # Ctrl-C is for the job. This process ends when that does.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with suppress(OSError), _alone(folder) as first:
        if first:
            attend(folder, say, abort=on_divergence == "abort")
