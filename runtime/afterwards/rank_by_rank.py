"""Reading a job of any size: one rank in memory at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..traces.reader import read_rank
from ..traces.ring import TraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..traces.columns import Calls, Catalog
    from ..traces.jobs import Job
    from ..traces.model import Rank


def ranks_of(job: Job, unreadable: list[str]) -> Iterator[Rank]:
    """The ranks of a job in order, each read when it is reached.

    Problems with ranks that are left out are appended to `unreadable`.
    """
    if job.recorded is not None:
        yield from job.recorded.ranks.values()
    for reader in job.readers:
        try:
            yield read_rank(reader.path)
        except TraceError as error:
            unreadable.append(str(error))


def calls_of(job: Job, catalog: Catalog, unreadable: list[str]) -> Iterator[tuple[Rank, Calls]]:
    """The same with the calls as columns; ranks read from files have no events. Needs numpy."""
    from ..traces import columns

    if job.recorded is not None:
        for rank in job.recorded.ranks.values():
            yield rank, columns.of_rank(rank, catalog)
    for reader in job.readers:
        try:
            calls = columns.of_reader(reader, catalog)
            yield reader.of(()), calls
            reader.release()
        except TraceError as error:
            unreadable.append(str(error))
