"""Which trace files belong together: the ranks of one job, of its newest attempt, also from several hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from . import folders
from .model import Rank, Trace
from .reader import Reader, ring_files
from .ring import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

#: Seconds by which the ranks of a job may begin apart.
_TOGETHER: Final = 1.0
#: The same for ranks of several hosts.
_APART: Final = 60.0


def load(folder: Path, unreadable: list[str] | None = None) -> Trace:
    """Read a run, or the newest one below a folder: of several jobs the largest and newest, of every rank the newest attempt.

    `unreadable` gets what is wrong with those that cannot be read. Raise TraceError if no other is there.
    """
    problems = unreadable if unreadable is not None else []
    readers = [reader for some in parts(folder, problems).values() for reader in some]
    return Trace(ranks(readers, problems))


def ranks(readers: Iterable[Reader], unreadable: list[str]) -> dict[int, Rank]:
    """What they have recorded, in the order of the ranks."""
    found = {}
    for reader in sorted(readers, key=lambda reader: reader.number):
        try:
            found[reader.number] = reader.whole()
        except TraceError as error:
            unreadable.append(str(error))
    return found


def opened(run: Path, unreadable: list[str]) -> Iterator[Reader]:
    """The traces of a run's folder that can be read."""
    for file in ring_files(run):
        try:
            yield Reader(file)
        except TraceError as error:
            unreadable.append(str(error))


def parts(folder: Path, unreadable: list[str]) -> dict[Path, list[Reader]]:
    """The folder of a run with the ranks of its job, then those where launchers on other hosts have left ranks of that job.

    Raise TraceError if there is none that can be read.
    """
    run = folders.newest(folder)
    readers = list(opened(run, unreadable))
    if not readers and unreadable:
        raise TraceError("; ".join(unreadable))
    if not readers:
        raise TraceError(
            f"{run}: no trace here; no process of the job called init_process_group, or none could write one"
        )
    found = {run: by_job(readers)[0]}
    first = found[run][0]
    known = {reader.number for reader in found[run]}
    for other in folders.runs(run.parent) if len(known) < first.world_size else ():
        for some in by_job(opened(other, [])) if other.name != run.name else ():
            if (
                first.job == some[0].job
                and not known & {reader.number for reader in some}
                and _begin_together(first, some)
            ):
                found[other] = some
                known |= {reader.number for reader in some}
    return found


def _begin_together(first: Reader, others: list[Reader]) -> bool:
    """True for ranks that may have left the same init_process_group; clocks of hosts differ a little."""
    return all(reader.attempt == first.attempt and abs(reader.started - first.started) < _APART for reader in others)


def by_job(readers: Iterable[Reader]) -> list[list[Reader]]:
    """The ranks of each job, in their order; the job with the most ranks first, of equals the newest.

    A process may start another job with ranks of its own (an evaluation), and a folder may hold several, one after another.
    """
    found: dict[tuple[str, int], list[Reader]] = {}
    for reader in readers:
        found.setdefault(reader.job, []).append(reader)
    ranks = [newest(some) for some in found.values()]
    return sorted(ranks, key=lambda some: (-len(some), -max(reader.started for reader in some)))


def newest(readers: Iterable[Reader]) -> list[Reader]:
    """Of several attempts of a job the last: one reader for each rank, in their order."""
    found: dict[int, Reader] = {}
    for reader in readers:
        known = found.get(reader.number)
        if known is None or (known.attempt, known.started) < (reader.attempt, reader.started):
            found[reader.number] = reader
    last = max((reader.attempt for reader in found.values()), default=0)
    begun = max((reader.started for reader in found.values()), default=0.0)
    return [
        reader
        for _, reader in sorted(found.items())
        # All ranks of a job begin together; what had ended by then was the same job a while ago.
        if reader.attempt == last and reader.last_seen() >= begun - _TOGETHER
    ]
