"""Running a job under the tracer, and watching its trace files from outside: nothing here needs torch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import compare, explain, ring, waits
from .hook import VARIABLE
from .record import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .record import Rank
    from .verdict import Divergence

_POLL: Final = 0.3
#: How long the job may take to end after it was asked to.
_GRACE: Final = 8.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a traced job ended. `code` is that of the job, or 1 when it was stopped because of `divergence`."""

    code: int
    divergence: Divergence | None
    trace: Trace


class CannotStartError(Exception):
    """The command of the job cannot be run at all."""


def run(command: Sequence[str], folder: Path, hang_after: float, say: Callable[[str], None]) -> Outcome:
    """Run the job, its output untouched; stop it when it hangs and a divergence is proved.

    `hang_after` is how long (in seconds) a rank may sit in one call before the ranks are compared.
    """
    executable = shutil.which(command[0])
    if executable is None:
        raise CannotStartError(f"{command[0]}: command not found")
    prepare(folder)
    try:
        process = subprocess.Popen([executable, *command[1:]], env=environment(folder))
    except OSError as error:
        raise CannotStartError(f"{command[0]}: {error.strerror}") from None
    watch = _Watch(folder, hang_after, say)
    interrupted = False
    found: Divergence | None = None
    while True:
        try:
            process.wait(_POLL)
            break
        except subprocess.TimeoutExpired:
            found = found or watch.look()
            if found is not None:
                stop(process, folder)
                break
        except KeyboardInterrupt:
            # The terminal has sent it to the job as well; the job decides what to do about it.
            interrupted = True
    code = process.returncode if process.returncode is not None else 1
    trace = read(folder)
    if found is None and trace.ranks:
        # After an interrupt a rank that did not come proves nothing: everybody was stopped somewhere.
        found = compare.compare(alive(trace, always=True) if interrupted else trace, over=not interrupted)
    if found is not None:
        report = folder / "divergence.json"
        report.write_text(json.dumps(explain.as_dict(found), indent=2) + "\n", encoding="utf-8")
    if interrupted:
        code = 128 + signal.SIGINT
    return Outcome(1 if found is not None else code if code >= 0 else 128 - code, found, trace)


def prepare(folder: Path) -> None:
    """An empty trace directory; only files of an earlier trace are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for pattern in ("*.ring", "*.names", "divergence.json"):
        for file in folder.glob(pattern):
            file.unlink()


def environment(folder: Path) -> dict[str, str]:
    """The job's environment: every Python process in it finds our sitecustomize first."""
    here = Path(__file__).resolve().parent
    package = Path(sys.modules["collectivelint"].__file__ or "").resolve().parent
    known = os.environ.get("PYTHONPATH")
    return {
        **os.environ,
        VARIABLE: str(folder.resolve()),
        "COLLECTIVELINT_HOME": str(package),
        "COLLECTIVELINT_RUNTIME_HOME": str(here),
        "PYTHONPATH": os.pathsep.join([str(here / "bootstrap"), *([known] if known else [])]),
    }


def read(folder: Path) -> Trace:
    """The trace so far; empty if no process has joined a job yet."""
    try:
        return ring.load(folder)
    except ring.TraceError:
        return Trace()


def alive(trace: Trace, *, always: bool = False) -> Trace:
    """The trace with the ranks marked whose processes live (on other hosts they are believed to)."""
    host = os.uname().nodename
    return Trace(
        {
            number: replace(
                rank,
                alive=always or rank.host != host or _exists(rank.pid),
                concurrent=sum(rank.host != host or _runs(rank.pid, thread) for thread in _threads(rank)) > 1,
            )
            for number, rank in trace.ranks.items()
        }
    )


def _threads(rank: Rank) -> set[int]:
    """The threads in which the rank has made calls; 0 is the main one."""
    return {event.thread for event in rank.events}


def _runs(pid: int, thread: int) -> bool:
    """Is the thread still there? Where that cannot be told, it is believed to be."""
    return thread == 0 or not Path("/proc/self/task").is_dir() or Path(f"/proc/{pid}/task/{thread}").exists()


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    # A process that has ended and has not been collected by its parent yet is as good as gone.
    try:
        return (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[0] != "Z"
        )
    except (OSError, IndexError):
        return True


class _Watch:
    """Notices that ranks have sat in one call for too long, and asks for a verdict."""

    def __init__(self, folder: Path, hang_after: float, say: Callable[[str], None]) -> None:
        self.folder, self.hang_after, self.say = folder, hang_after, say
        self._seen: dict[Path, tuple[int, int]] = {}
        self._since: dict[Path, float] = {}
        self._looked = 0.0
        self._noted: set[tuple[int, int]] = set()

    def look(self) -> Divergence | None:
        """A divergence, if a rank has not moved for `hang_after` seconds and one is proved."""
        now = time.monotonic()
        longest = 0.0
        for file in ring.files(self.folder):
            try:
                state = ring.progress(file)
            except OSError:
                continue
            if self._seen.get(file) != state:
                self._seen[file], self._since[file] = state, now
            longest = max(longest, now - self._since[file])
        if longest < self.hang_after or now - self._looked < min(1.0, self.hang_after):
            return None
        self._looked = now
        trace = alive(read(self.folder))
        # A rank that is being started or has just called proves nothing yet: look twice.
        found = compare.compare(trace, over=False)
        if found is not None:
            time.sleep(_POLL)
            again = compare.compare(alive(read(self.folder)), over=False, now=time.time())
            return again if again is not None and again.group.key == found.group.key else None
        self._hint(trace)
        return None

    def _hint(self, trace: Trace) -> None:
        """Say once of each long wait whom it is for."""
        clock = time.time()
        long = [
            (event, absent)
            for event, absent in waits.waiting(trace)
            if clock - event.start >= self.hang_after and (event.rank, event.number) not in self._noted
        ]
        self._noted |= {(event.rank, event.number) for event, _ in long}
        hint = explain.straggler(long, self.hang_after)
        if hint:
            self.say(hint)


def stop(process: subprocess.Popen[bytes], folder: Path) -> None:
    """End the job: the launcher first, which ends its workers; whoever is left after a while is killed, by id."""
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    host = os.uname().nodename
    for rank in read(folder).ranks.values():
        if rank.host == host and _exists(rank.pid):
            os.kill(rank.pid, signal.SIGKILL)
