"""Running a job under the tracer, and watching its trace files from outside: nothing here needs torch."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from . import compare, explain, ring
from .hook import VARIABLE
from .monitor import POLL, Monitor, alive, exists
from .record import Trace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .verdict import Divergence

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


def run(
    command: Sequence[str], folder: Path, say: Callable[[str], None], *, hint_after: float = 30.0, abort: bool = True
) -> Outcome:
    """Run the job, its output untouched; when a divergence is proved, say so, and stop the job if `abort`.

    `hint_after`: after how many seconds of waiting for a rank that may still come to say where that is.
    """
    executable = shutil.which(command[0])
    if executable is None:
        raise CannotStartError(f"{command[0]}: command not found")
    prepare(folder)
    try:
        process = subprocess.Popen([executable, *command[1:]], env=environment(folder))
    except OSError as error:
        raise CannotStartError(f"{command[0]}: {error.strerror}") from None
    monitor = Monitor(folder, hint_after, say)
    interrupted = False
    found: Divergence | None = None
    while True:
        try:
            process.wait(POLL)
            break
        except subprocess.TimeoutExpired:
            seen = _looked(monitor, say)
            if seen is None:
                continue
            found = found or seen
            write(folder, found)
            say(explain.text(seen))
            if abort:
                monitor.deliver()
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
            write(folder, found)
            say(explain.text(found))
    if interrupted:
        code = 128 + signal.SIGINT
    return Outcome(1 if found is not None else code if code >= 0 else 128 - code, found, trace)


def _looked(monitor: Monitor, say: Callable[[str], None]) -> Divergence | None:
    """Look; what goes wrong with that is our trouble, not the job's."""
    try:
        return monitor.look()
    except Exception as error:
        if not _troubles:
            say(f"collectivelint: the ranks cannot be compared: {type(error).__name__}: {error}\n")
        _troubles.append(error)
        return None


_troubles: list[Exception] = []


def write(folder: Path, divergence: Divergence) -> None:
    """Leave the verdict in the trace directory."""
    text = json.dumps(explain.as_dict(divergence), indent=2) + "\n"
    (folder / "divergence.json").write_text(text, encoding="utf-8")


def prepare(folder: Path) -> None:
    """An empty trace directory; only files of an earlier trace of this host are removed, another may share the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname()
    for pattern in (f"*-{host}-*.ring", f"*-{host}-*.names", "link-*", "divergence.json"):
        for file in folder.glob(pattern):
            file.unlink(missing_ok=True)


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
        if rank.host == host and exists(rank.pid):
            os.kill(rank.pid, signal.SIGKILL)
