"""Reading the records that rank processes write before they join a process group (see rank_record.py)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from collectivelint import reading

from . import validation
from .rank_record import SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_NAME: Final = re.compile(r"rank(\d{1,7})-of-(\d{1,7})-(.+)-(\d{1,9})\.present")

_TIMES: Final = ("begun", "imported", "entered", "left", "joined", "ended")
_TEXTS: Final = ("job", "raised", "error", "untraced")
_NUMBERS: Final = ("attempt", "local", "answered")


@dataclass(frozen=True, slots=True)
class RankProcess:
    """A process with a rank, and how far it has got. Times are seconds since the epoch, 0.0 if it has not happened."""

    rank: int
    world_size: int
    pid: int
    host: str
    #: When the process began; 0.0 if that is not known.
    begun: float = 0.0
    #: torchrun's name of the job, or where it meets, and which attempt of it this is: ranks of one job have the same.
    job: str = ""
    attempt: int = 0
    #: LOCAL_WORLD_SIZE; 0 if it is not set.
    local: int = 0
    imported: float = 0.0
    #: When it called init_process_group, when that raised, and what; `waited`: an error that says that other ranks did not come.
    entered: float = 0.0
    left: float = 0.0
    raised: str = ""
    waited: bool = False
    joined: float = 0.0
    #: When the process came to its own end, and the exception that ended it.
    ended: float = 0.0
    error: str = ""
    #: Why nothing is recorded of it.
    untraced: str = ""
    #: (path, line, function) of the project's frames, innermost first, as asked for with the request `answered`.
    frames: tuple[tuple[str, int, str], ...] = ()
    answered: int = 0

    @property
    def order(self) -> tuple[bool, bool, float]:
        """The sort key for several processes of one rank: the greatest got furthest, or began last."""
        return (self.joined > 0, self.entered > 0, self.begun)


def read(folder: Path) -> list[RankProcess]:
    """The records of a run, in the order of their ranks."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith(".present")]
    except OSError:
        return []
    return sorted(
        (found for name in names if (found := _read(folder / name)) is not None),
        key=lambda process: (process.rank, process.begun),
    )


def _read(file: Path) -> RankProcess | None:
    matched = _NAME.fullmatch(file.name)
    if matched is None:
        return None
    rank, world_size, host, pid = int(matched[1]), int(matched[2]), matched[3], int(matched[4])
    if rank >= world_size:
        return None
    bare = RankProcess(rank, world_size, pid, host)
    try:
        data = validation.parsed(reading.read_bytes(file, SIZE, follow=False))
    except OSError:
        return None
    try:
        return _decoded(bare, validation.mapping(data))
    except (TypeError, ValueError):
        # Empty, on a disk that was full.
        return bare


def _decoded(bare: RankProcess, data: dict[str, Any]) -> RankProcess:
    facts: dict[str, Any] = {name: validation.real(data.get(name, 0.0)) for name in _TIMES}
    facts |= {name: validation.text(data.get(name, "")) for name in _TEXTS}
    facts |= {name: validation.number(data.get(name, 0)) for name in _NUMBERS}
    frames = tuple(
        (validation.text(path), validation.number(line), validation.text(function))
        for path, line, function in map(validation.items, validation.items(data.get("frames", ())))
    )
    return replace(bare, **facts, waited=data.get("waited") is True, frames=frames)


def by_job(found: Iterable[RankProcess]) -> list[dict[int, RankProcess]]:
    """The ranks of each job's newest attempt; of several processes of a rank, the one with the greatest `order`."""
    processes = list(found)
    newest: dict[str, int] = {}
    for one in processes:
        newest[one.job] = max(one.attempt, newest.get(one.job, 0))
    jobs: dict[tuple[str, int], dict[int, RankProcess]] = {}
    for one in processes:
        if one.attempt == newest[one.job]:
            ranks = jobs.setdefault((one.job, one.world_size), {})
            known = ranks.get(one.rank)
            if known is None or known.order < one.order:
                ranks[one.rank] = one
    return list(jobs.values())
