"""How a process of the job, its launcher and the watcher find each other: variables of the environment, and the run's folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

#: The directory that traces go to; set by `collectivelint trace`, or by hand in an image.
VARIABLE: Final = "COLLECTIVELINT_TRACE"
#: Set to have checkpoints read again, see checkpoint/inside/auditor.py.
READ_BACK: Final = "COLLECTIVELINT_READ_BACK"
#: Let the job go on when its ranks have diverged, or end it.
OnDivergence: TypeAlias = Literal["report", "abort"]

#: In the run's folder: the launcher has stopped the job, because its ranks diverged.
STOPPED: Final = "stopped"


def join_run(folder: Path) -> Path:
    """The folder of this process's run, made if it is not there; raise OSError where it cannot be."""
    from .traces import folders

    run = folders.join(folder)
    if VARIABLE in os.environ:
        # Processes that this one starts belong to the same run.
        os.environ[VARIABLE] = str(run.resolve())
    return run
