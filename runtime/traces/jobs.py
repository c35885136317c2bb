"""The jobs of a run: which trace files are ranks of the same job and attempt, also from several hosts.

A run has several jobs if its command starts several launchers (a sweep), if a launcher restarts its ranks (attempts),
or if a process creates its default group again in another job (an evaluation).
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from . import folders
from .model import Rank, Trace
from .reader import Reader, ring_files
from .ring import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

#: Seconds by which the ranks of a job may begin apart.
_TOGETHER: Final = 1.0
#: The same for ranks of several hosts.
_APART: Final = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a job. `started`: seconds since the epoch; `store`: its rendezvous; `readers`: by rank.

    `recorded`: its events, if they are in memory and not in files.
    """

    store: str
    world_size: int
    attempt: int
    started: float
    readers: tuple[Reader, ...] = ()
    recorded: Trace | None = None

    def trace(self, unreadable: list[str]) -> Trace:
        """Its events, read anew at each call, since those of a long sweep would not fit into memory together.

        Problems with ranks whose files cannot be read are appended to `unreadable`.
        """
        return self.recorded if self.recorded is not None else Trace(_ranks(self.readers, unreadable))

    def heads(self) -> Trace:
        """Its ranks as in `trace`, but with their last calls only; unreadable ones are left out."""
        return self.recorded if self.recorded is not None else Trace(_ranks(self.readers, [], 1))

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks that have left a trace."""
        if self.recorded is not None:
            return tuple(self.recorded.ranks)
        return tuple(reader.number for reader in self.readers)

    @property
    def files(self) -> frozenset[Path]:
        """The rings of its ranks."""
        return frozenset(reader.path for reader in self.readers)

    @property
    def folders(self) -> list[Path]:
        """The runs that its ranks belong to, one per launcher, that of its lowest rank first."""
        return list(dict.fromkeys(reader.path.parent for reader in self.readers))


def load(folder: Path, unreadable: list[str] | None = None) -> Trace:
    """The events of the main job of a run, or of the newest run below a folder; arguments and errors are those of `read`."""
    problems = unreadable if unreadable is not None else []
    return main_of(read(folder, problems)).trace(problems)


def read(folder: Path, unreadable: list[str]) -> list[Job]:
    """Every job and attempt of a run, or of the newest run below a folder, in the order of their starts.

    Includes ranks that launchers on other hosts wrote to runs of their own beside it. Problems with unreadable files
    are appended to `unreadable`; raises TraceError if no file can be read.
    """
    run = folders.newest(folder)
    found = grouped(opened(run, unreadable))
    if not found and unreadable:
        raise TraceError("; ".join(unreadable))
    if not found:
        raise TraceError(
            f"{run}: no trace here; no process of the job called init_process_group, or none could write one"
        )
    if any(len(some) < some[0].world_size for some in found):
        for other in folders.runs(run.parent):
            for some in grouped(opened(other, [])) if other.name != run.name else ():
                _join(found, some)
    return as_jobs(found)


def as_jobs(found: Iterable[Iterable[Reader]]) -> list[Job]:
    """A Job for each group of readers."""
    return [_job(sorted(some, key=lambda reader: reader.number)) for some in found]


def main_of(found: Sequence[Job]) -> Job:
    """The job with the most ranks, the newest of equals: reports on a single job use this one."""
    return max(found, key=lambda job: (len(job.ranks), job.started))


def opened(run: Path, unreadable: list[str]) -> Iterator[Reader]:
    """The readable traces in a run's folder."""
    for file in ring_files(run):
        try:
            yield Reader(file)
        except TraceError as error:
            unreadable.append(str(error))


def _ranks(readers: Iterable[Reader], unreadable: list[str], last: int | None = None) -> dict[int, Rank]:
    """Read each rank. `last`: read only that many of its last calls; None for all."""
    found = {}
    for reader in readers:
        try:
            found[reader.number] = reader.whole(last)
            reader.release()
        except TraceError as error:
            unreadable.append(str(error))
    return found


def _job(readers: list[Reader]) -> Job:
    first = readers[0]
    started = min(reader.started for reader in readers)
    return Job(first.job[0], first.world_size, max(reader.attempt for reader in readers), started, tuple(readers))


def _join(found: list[list[Reader]], some: list[Reader]) -> None:
    """Add ranks of another host to the job that started at about the same time; clocks of hosts differ a little.

    The attempt numbers may differ: torchrun counts only the failures of its own host.
    """
    numbers = {reader.number for reader in some}
    near = [
        (abs(mine[0].started - some[0].started), index)
        for index, mine in enumerate(found)
        if mine[0].job == some[0].job and not numbers & {reader.number for reader in mine}
    ]
    apart, index = min(near, default=(math.inf, 0))
    if apart < _APART:
        found[index] += some


# --------------------------------------------------------------------------------------------- which ranks are one job


@dataclass(slots=True)
class _Together:
    """Ranks of one attempt. `ended`: when the first of them exited; `attempts`: by host."""

    members: dict[int, Reader] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    ended: float = math.inf

    def takes(self, reader: Reader) -> bool:
        """Whether a later rank belongs to the attempt: not if its process began after one of the ranks had ended."""
        began = reader.started - _TOGETHER
        return (
            reader.number not in self.members
            and self.attempts.get(reader.host, reader.attempt) == reader.attempt
            and self.ended >= (min(reader.begun, began) if reader.begun else began)
        )

    def add(self, reader: Reader) -> None:
        self.members[reader.number] = reader
        self.attempts[reader.host] = reader.attempt
        self.ended = min(self.ended, reader.last_seen())


def grouped(readers: Iterable[Reader]) -> list[list[Reader]]:
    """The ranks of each job and attempt, in the order of their starts; those of each sorted by rank."""
    found: list[_Together] = []
    by_store: dict[tuple[str, int], list[_Together]] = {}
    for reader in sorted(readers, key=lambda reader: (reader.started, reader.number)):
        known = by_store.setdefault(reader.job, [])
        together = next((some for some in reversed(known) if some.takes(reader)), None)
        if together is None:
            together = _Together()
            known.append(together)
            found.append(together)
        together.add(reader)
    return [[reader for _, reader in sorted(some.members.items())] for some in found]


def by_job(readers: Iterable[Reader]) -> list[list[Reader]]:
    """The ranks of the newest attempt of each job; the job with the most ranks first, the newest of equals."""
    newest = {some[0].job: some for some in grouped(readers)}
    return sorted(newest.values(), key=lambda some: (-len(some), -max(reader.started for reader in some)))


# --------------------------------------------------------------------------------------------------------------- names


def restarts(found: Sequence[Job]) -> list[list[int]]:
    """For each job the indices of its attempts, both in the order of their starts; `found` is in that order.

    An attempt follows the newest job with a lower attempt number; if there are several, one with the same store.
    torchrun may use a new store for each attempt, and not every attempt leaves a trace.
    """
    chains: list[list[int]] = []
    for index, job in enumerate(found):
        before = [chain for chain in chains if found[chain[-1]].attempt < job.attempt]
        same = [chain for chain in before if found[chain[-1]].store == job.store]
        if before:
            (same or before)[-1].append(index)
        else:
            chains.append([index])
    return chains


def names(found: Sequence[Job]) -> list[str]:
    """A label for each: `job 1 of 2 (14:03:40, 2 ranks)`, `attempt 0 (14:03:40, 2 ranks)`; "" for a single job."""
    if len(found) == 1:
        return [""]
    chains = restarts(found)
    labels = [""] * len(found)
    for number, chain in enumerate(chains, 1):
        for index in chain:
            job = found[index]
            words = [f"job {number} of {len(chains)}"] * (len(chains) > 1)
            words += [f"attempt {job.attempt}"] * (len(chain) > 1)
            labels[index] = f"{', '.join(words)} ({clock(job.started)}, {ranks_of(len(job.ranks), job.world_size)})"
    return labels


def clock(seconds: float) -> str:
    """The local time of day, `14:03:40`, of seconds since the epoch."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(seconds))
    except (OSError, OverflowError, ValueError):
        return "at no time"


def ranks_of(ranks: int, size: int) -> str:
    """`4 ranks`, `3 of 4 ranks`."""
    return f"{f'{ranks} of {size}' if ranks < size else ranks} rank{'s' * (max(ranks, size) != 1)}"
