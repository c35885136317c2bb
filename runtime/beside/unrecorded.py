"""Processes below the launcher that look like ranks but leave no record, e.g. since Python ignores the environment.

They are only inspected, through psutil and /proc; if either is missing, none is found.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectivelint.printable import one_line

from ..environment import VARIABLE
from ..quantities import ranks_text
from ..traces import rank_processes
from ..traces.run_end import Unrecorded
from .watch import living

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection, Iterable, Mapping

    import psutil

#: Seconds a process may take to leave its record, before it is said that it leaves none.
_PATIENCE: Final = 5.0
#: The seconds between two looks are this part of the job's age, within these limits.
_PART, _SHORTEST, _LONGEST = 0.1, 0.5, 30.0
_PYTHON: Final = re.compile(r"(python|pypy)[\d.]*t?")
_BOOTSTRAP: Final = str(Path(__file__).resolve().parent.parent / "bootstrap")
#: Options of the interpreter that take the next word.
_WITH_VALUE: Final = ("-X", "-W", "--check-hash-based-pycs")


class UnrecordedRanks:
    """Finds such processes below our child. `look` is called repeatedly."""

    def __init__(self, child: subprocess.Popen[bytes], run: Path, say: Callable[[str], None]) -> None:
        """`child` must not have been waited for yet."""
        self._run, self._say = run, say
        self._begun = time.monotonic()
        self._next = 0.0
        #: By number and start, with what it was when it was seen last.
        self._seen: dict[tuple[int, float], Unrecorded] = {}
        self._said: set[tuple[int, float]] = set()
        self._root: psutil.Process | None = None
        with suppress(Exception):
            import psutil

            self._root = psutil.Process(child.pid)

    def look(self) -> None:
        """Note the processes that run now, and report once those without a record for some seconds."""
        now = time.monotonic()
        if self._root is None or now < self._next:
            return
        self._next = now + min(max(_SHORTEST, _PART * (now - self._begun)), _LONGEST)
        with suppress(Exception):
            # Processes end while they are looked at; that, and what else may go wrong here, costs the job nothing.
            self._seen.update(_below(self._root, _recorded(self._run)))
        with suppress(Exception):
            fresh = {
                key: one
                for key, one in self._left().items()
                if key not in self._said and one.rank >= 0 and time.time() - key[1] >= _PATIENCE
            }
            self._said |= fresh.keys()
            for text in texts(fresh.values()):
                self._say(f"note: {text}\n")

    def found(self) -> list[Unrecorded]:
        """Processes seen so far that still have no record."""
        with suppress(Exception):
            return list(self._left().values())
        return []

    def _left(self) -> dict[tuple[int, float], Unrecorded]:
        recorded = _recorded(self._run)
        return {key: one for key, one in self._seen.items() if one.pid not in recorded}


def texts(found: Iterable[Unrecorded]) -> list[str]:
    """`ranks 0-1 are not recorded, since `python -I` ignores the environment; start ...`, for each reason."""
    reasons: dict[tuple[str, str], list[Unrecorded]] = {}
    for one in found:
        reasons.setdefault((one.why, one.remedy), []).append(one)
    lines = []
    for (why, remedy), some in reasons.items():
        ranks = {one.rank for one in some if one.rank >= 0}
        which = ranks_text(ranks) if ranks else f"{len(some)} process{'es' * (len(some) > 1)} with torch"
        verb = "are" if len(some) > 1 else "is"
        because = f"since {why}; {remedy}" if why else "the reason is not known"
        lines.append(one_line(f"{which} {verb} not recorded, {because}"))
    return lines


def _recorded(run: Path) -> set[int]:
    """The pids on this host that have left a record."""
    host = os.uname().nodename
    return {one.pid for one in rank_processes.read(run) if one.host == host} | set(living(run))


def _below(root: psutil.Process, recorded: Collection[int]) -> dict[tuple[int, float], Unrecorded]:
    """The topmost processes with a rank or torch that are not recorded and have no recorded process above or below."""
    processes = {root.pid: root} | {child.pid: child for child in root.children(recursive=True)}
    parents = {}
    for pid, process in processes.items():
        with suppress(Exception):
            parents[pid] = process.ppid()
    launchers = {above for pid in recorded for above in _above(pid, parents)}
    found: dict[int, tuple[float, Unrecorded]] = {}
    for pid, process in processes.items():
        if (
            pid in recorded
            or pid in launchers
            or any(above in recorded or above in found for above in _above(pid, parents))
        ):
            continue
        with suppress(Exception):
            one = _judged(process)
            if one is not None:
                found[pid] = (process.create_time(), one)
    return {(pid, begun): one for pid, (begun, one) in found.items()}


def _above(pid: int, parents: Mapping[int, int]) -> list[int]:
    found: list[int] = []
    while (parent := parents.get(pid, 0)) in parents and parent not in found:
        found.append(parent)
        pid = parent
    return found


def _judged(process: psutil.Process) -> Unrecorded | None:
    """The record of a process that left none itself; None if it does not use torch."""
    words = process.cmdline()
    if not words or not _has_torch(process.pid):
        return None
    environment = process.environ()
    rank, world_size = (environment.get(name, "") for name in ("RANK", "WORLD_SIZE"))
    has_rank = rank.isdecimal() and world_size.isdecimal()
    why, remedy = _reason(process.pid, words, environment)
    if not why and not has_rank:
        # A script that uses torch, a launcher.
        return None
    numbers = (int(rank), int(world_size)) if has_rank else (-1, -1)
    return Unrecorded(process.pid, *numbers, why, remedy)


def _has_torch(pid: int) -> bool:
    try:
        return b"/libtorch" in Path(f"/proc/{pid}/maps").read_bytes()
    except OSError:
        return False


def _reason(pid: int, words: list[str], environment: Mapping[str, str]) -> tuple[str, str]:
    """Why a process is not recorded, and the remedy; empty if unknown."""
    options, script = _options(words)
    name = Path(words[0]).name
    for letter in "IES":
        if letter in options:
            what = "does not import `site`" if letter == "S" else "ignores the environment"
            start = f"start the script with `{name} -{letter} -m collectivelint.runtime {script}`"
            # What a process starts that has no rank is not traced that way.
            has_remedy = letter != "S" and "RANK" in environment
            return (f"`{name} -{letter}` {what}", start if has_remedy else f"leave -{letter} out")
    if VARIABLE not in environment:
        names = f"{VARIABLE}, COLLECTIVELINT_HOME, COLLECTIVELINT_RUNTIME_HOME and PYTHONPATH"
        return (f"{VARIABLE} is not in the environment", f"pass on {names}")
    if _BOOTSTRAP not in environment.get("PYTHONPATH", "").split(os.pathsep):
        return ("PYTHONPATH was replaced", f"keep {_BOOTSTRAP} in it")
    if os.path.isdir(f"/proc/{pid}/root") and not os.path.isfile(f"/proc/{pid}/root{_BOOTSTRAP}/sitecustomize.py"):
        return (f"{_BOOTSTRAP} cannot be seen from its container", "mount it, and the folder of the trace, there")
    return ("", "")


def _options(words: list[str]) -> tuple[str, str]:
    """The letters of the interpreter's options, and the script; no letters if it is not Python."""
    letters, rest = "", iter(words[1:])
    if _PYTHON.fullmatch(Path(words[0]).name) is None:
        return ("", "SCRIPT")
    for word in rest:
        if word in _WITH_VALUE:
            next(rest, None)
        elif word == "-m" or not word.startswith("-"):
            return (letters, "SCRIPT" if word == "-m" else word)
        elif not word.startswith("--"):
            letters += word[1:].partition("c")[0].partition("m")[0].partition("X")[0].partition("W")[0]
            if "c" in word:
                break
    return (letters, "SCRIPT")
