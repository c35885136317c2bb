"""Environment variables that the launcher sets for the processes of a job, and names of files in the run's folder."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

#: The directory that traces go to; set by `collectivelint trace`, or by hand in an image.
VARIABLE: Final = "COLLECTIVELINT_TRACE"
#: Where traces go unless the user names a folder.
DEFAULT_FOLDER: Final = "collectivelint-trace"
#: Set to have checkpoints read again, see checkpoint/inside/context.py.
READ_BACK: Final = "COLLECTIVELINT_READ_BACK"
#: Set to have the data of calls compared, see inside/data_checks.py.
CHECK_DATA: Final = "COLLECTIVELINT_CHECK_DATA"
#: Let the job go on when its ranks have diverged, or end it.
OnDivergence: TypeAlias = Literal["report", "abort"]
#: In the run's folder: the launcher has stopped the job, because its ranks diverged.
STOPPED: Final = "stopped"
#: The same: this is a run of ours, see folders.py.
MANIFEST: Final = "run.json"
