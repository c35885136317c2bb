"""Processes by pid: a pid in a trace file may have been reused, so the start time is recorded with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

#: By how much (in seconds) two readings of one start time may differ: it is stored in clock ticks.
_EXACT: Final = 0.05
NO_PSUTIL: Final = (
    "psutil is not installed, so recorded process numbers cannot be checked and no process is ended: "
    "pip install 'collectivelint[runtime]'"
)


class CannotSignalError(Exception):
    """psutil is missing, so no process is signalled."""


def started(pid: int) -> float:
    """When a process began, in seconds since the epoch as psutil gives it; 0.0 if that is not known."""
    try:
        # As psutil does it, since a rank may run where psutil is not installed.
        ticks = int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])
        (boot,) = (line.split()[1] for line in Path("/proc/stat").read_bytes().splitlines() if line[:6] == b"btime ")
        return int(boot) + ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        pass
    try:
        import psutil

        return float(psutil.Process(pid).create_time())
    except Exception:
        # Not installed, or no such process, or not allowed to look.
        return 0.0


def is_same(pid: int, begun: float) -> bool:
    """Whether the process is alive and began at that time; 0.0 means an unknown time and is not compared."""
    return exists(pid) and began_at(pid, begun)


def began_at(pid: int, begun: float) -> bool:
    """Whether an existing process began at that time; true if either time is unknown."""
    known = started(pid) if begun else 0.0
    return not known or _is_near(known, begun)


def _is_near(one: float, other: float) -> bool:
    """Whether two readings of a start time are equal; false for a recorded NaN."""
    return one > 0.0 and abs(one - other) < _EXACT


def send(pid: int, begun: float, number: int) -> bool:
    """Send a signal to the process that has this pid and began at that time; False if there is none.

    Raises CannotSignalError without psutil, which compares the start time again just before it signals.
    """
    try:
        import psutil
    except ImportError:
        raise CannotSignalError(NO_PSUTIL) from None
    try:
        process = psutil.Process(pid)
        if pid == os.getpid() or not _is_near(process.create_time(), begun):
            return False
        process.send_signal(number)
    except (psutil.Error, OSError, ValueError):
        return False
    return True


def exists(pid: int) -> bool:
    """Whether a process has this pid; a zombie does not count."""
    if pid <= 0:
        # The system takes these for groups of processes.
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return state_of(pid) != "Z"


def state_of(pid: int) -> str:
    """The state of a process as the system reports it: R, S, D, T (stopped), Z (zombie); "" if unknown."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
        return text.rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def has_mapped(pid: int, file: Path) -> bool:
    """Whether a process has mapped exactly this file, shared and writable. Raises OSError if that is unknown."""
    # `7f04c0600000-7f04c0a11000 rw-s 00000000 08:01 1234   /path`; of a name only line feeds are escaped.
    wanted = os.fsencode(file.resolve()).replace(b"\n", b"\\012")
    for line in Path(f"/proc/{pid}/maps").read_bytes().split(b"\n"):
        fields = line.split(None, 5)
        if len(fields) == 6 and fields[1] == b"rw-s" and fields[5] == wanted:
            return True
    return False
