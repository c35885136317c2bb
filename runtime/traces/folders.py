"""Where traces go: each run has a folder of its own, `run-...`, below the folder that the user named.

    collectivelint-trace/                            the folder that the user named; it may hold other files, which stay
        .collectivelint-trace                        our marker
        run-20260131-120000-host-4711/               named after the process that started the ranks: its start, host and number
            run.json                                 the manifest: this is a run of ours, when and where it was started
            rank0-host-4712.ring, .names, ...        ring.py, host_link.py, watch.py, auditor.py

Nothing is ever removed: old runs are the user's to delete. With a launcher on each of several hosts, each makes a run of its
own, also in a folder that they share; `ring.parts` finds those that belong together.
"""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from ..environment import MANIFEST as MANIFEST
from ..environment import VARIABLE
from . import processes

if TYPE_CHECKING:
    from pathlib import Path

MARKER: Final = ".collectivelint-trace"
_VERSION: Final = 1
_NAME: Final = re.compile(r"run-\d{8}-\d{6}-[\w.-]+-\d+")
#: No manifest of ours has so many bytes.
_LARGEST: Final = 1 << 20


def create(outer: Path) -> Path:
    """Create the folder of a run that this process starts. Raises OSError if that fails."""
    for folder in (outer, *outer.parents):
        if folder.is_symlink() and not folder.exists():
            raise FileNotFoundError(2, "is a symbolic link to a folder that does not exist", str(folder))
    _mark(outer)
    pid = os.getpid()
    begun = time.time()
    name = _name(begun, pid)
    for number in range(1, 1000):
        run = outer / (name if number == 1 else f"{name}-{number}")
        try:
            run.mkdir()
        except FileExistsError:
            continue
        _write_manifest(run, begun, pid)
        return run
    raise FileExistsError(17, "has too many runs of this second", str(outer))


def discard(run: Path) -> None:
    """Remove the folder that `create` has just made, if the job could not be started and it has no other files."""
    with suppress(OSError):
        if [entry.name for entry in run.iterdir()] == [MANIFEST]:
            (run / MANIFEST).unlink()
            run.rmdir()


def join(folder: Path) -> Path:
    """The folder of the run that this process, a rank, belongs to. Raises OSError if it cannot be created.

    `folder` is the run's own, created by the launcher, or the one that the user named. In the latter the run is named
    after the parent process, which all ranks of one host share.
    """
    if is_run(folder):
        return folder
    # Another host than the launcher's, with no file system in common: the folder is not there yet.
    if folder.exists() or _NAME.fullmatch(folder.name) is None:
        parent = os.getppid()
        folder = folder / _name(processes.started(parent), parent)
    _mark(folder.parent)
    try:
        folder.mkdir()
    except FileExistsError:
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
            raise
    if not is_run(folder):
        # The first rank; others that come at the same moment write the same but for the time.
        _write_manifest(folder, time.time(), os.getppid())
    return folder


def join_run(folder: Path) -> Path:
    """The same, and child processes of this one inherit the run."""
    run = join(folder)
    if VARIABLE in os.environ:
        os.environ[VARIABLE] = str(run.resolve())
    return run


def _name(begun: float, pid: int) -> str:
    """The name of a run, from the process that starts the ranks."""
    host = re.sub(r"[^\w.-]", "-", socket.gethostname())[:64] or "host"
    return f"run-{time.strftime('%Y%m%d-%H%M%S', time.gmtime(begun))}-{host}-{pid}"


def _mark(outer: Path) -> None:
    """Create our marker in the folder that has the runs, unless something has its name already."""
    outer.mkdir(parents=True, exist_ok=True)
    marker = outer / MARKER
    if not os.path.lexists(marker):
        text = (
            "Each run-* folder beside this file is one run traced by collectivelint; delete those you no longer need.\n"
        )
        atomic.write(marker, text, follow=False)


def _write_manifest(run: Path, begun: float, pid: int) -> None:
    data = {
        "collectivelint": "run",
        "version": _VERSION,
        "started": begun,
        "host": socket.gethostname(),
        "pid": pid,
    }
    atomic.write(run / MANIFEST, json.dumps(data, indent=2) + "\n", follow=False)


def _manifest(folder: Path) -> dict[str, Any] | None:
    """The content of a run's manifest; None if the folder is not a run."""
    file = folder / MANIFEST
    try:
        data = json.loads(reading.read_bytes(file, _LARGEST, follow=False))
    except (OSError, ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and data.get("collectivelint") == "run" else None


def is_run(folder: Path) -> bool:
    """True for the folder of one run."""
    return _manifest(folder) is not None


def runs(outer: Path) -> list[Path]:
    """The runs below a folder, the newest first."""
    found = []
    try:
        folders = [entry for entry in os.scandir(outer) if entry.name.startswith("run-")]
    except OSError:
        return []
    for entry in folders:
        data = _manifest(outer / entry.name) if entry.is_dir(follow_symlinks=False) else None
        if data is not None:
            begun = data.get("started")
            found.append((begun if isinstance(begun, int | float) else 0.0, entry.name))
    return [outer / name for _, name in sorted(found, reverse=True)]


def newest(folder: Path) -> Path:
    """The folder itself if it is a run or contains none (traces of earlier releases lie in it); else its newest run."""
    return folder if is_run(folder) else next(iter(runs(folder)), folder)


def described(folder: Path, run: Path) -> str:
    """Which run was read if the folder has several: `collectivelint-trace/run-..., the newest of 3 runs`."""
    count = len(runs(folder)) if run != folder else 0
    return f"{run}, the newest of {count} runs" if count > 1 else f"{run}"
