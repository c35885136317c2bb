"""Ranks that go on running after the command that started them has ended (`torchrun ... & disown`)."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..environment import VARIABLE
from ..quantities import ranks_text
from ..traces import rank_processes
from .joining import is_alive

if TYPE_CHECKING:
    from pathlib import Path

#: Seconds that ranks may take to end after the command that has started them.
_ENDING: Final = 2.0
_POLL: Final = 0.1


def running(run: Path) -> tuple[str, ...]:
    """What still runs on this host: `ranks 0,1`, or `torchrun (pid 4711)` if no rank has begun yet.

    Empty once all ranks have ended, even if helper processes of theirs still run.
    """
    deadline = time.monotonic() + _ENDING
    while ranks := {one.rank for one in rank_processes.read(run) if is_alive(one)}:
        if time.monotonic() > deadline:
            return (ranks_text(ranks),)
        time.sleep(_POLL)
    return () if any(run.glob("rank*")) else _starting(run)


def _starting(run: Path) -> tuple[str, ...]:
    """Processes with the folder of the run in their environment, which every process of the command inherits."""
    found = []
    with suppress(ImportError):
        import psutil

        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.environ().get(VARIABLE) == str(run.resolve()):
                    found.append(f"{process.name()} (pid {process.pid})")
    return tuple(found)
