"""A command that ends while what it has started goes on (`torchrun ... & disown`): which ranks those are."""

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
    """What of the job still runs on this host: `ranks 0,1`, or where no rank has begun yet, `torchrun (pid 4711)`.

    Nothing where ranks have come to their end, whatever helpers they have left.
    """
    deadline = time.monotonic() + _ENDING
    while ranks := {one.rank for one in rank_processes.read(run) if is_alive(one)}:
        if time.monotonic() > deadline:
            return (ranks_text(ranks),)
        time.sleep(_POLL)
    return () if any(run.glob("rank*")) else _starting(run)


def _starting(run: Path) -> tuple[str, ...]:
    """Processes that have the run in their environment, as all have that the command has started."""
    found = []
    with suppress(ImportError):
        import psutil

        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                if process.pid != os.getpid() and process.environ().get(VARIABLE) == str(run.resolve()):
                    found.append(f"{process.name()} (pid {process.pid})")
    return tuple(found)
