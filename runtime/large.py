"""Jobs too large for an Event per call: an engine counts all calls, and the verdict rests on a subset of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from .afterwards.tables import engines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .afterwards.picture.packed import Source
    from .afterwards.tables.numbers import Analysed
    from .beside.judging import Judged
    from .traces.jobs import Job
    from .traces.model import Event, Trace
    from .verdict.reduced import Reduced
    from .verdict.slow_ranks import SlowRank

#: From so many calls on. Of fewer, starting the engine takes longer than it saves.
LARGE: Final = 300_000


def is_large(job: Job) -> bool:
    """Whether a job has at least `LARGE` recorded calls and DuckDB, which counts them, is installed."""
    count = sum(min(reader.written, reader.capacity) for reader in job.readers)
    return count >= LARGE and engines.has_duckdb()


def part_of(job: Job, analysed: Analysed, unreadable: list[str]) -> Reduced | None:
    """The calls that a job's verdict rests on; None if it needs all of them. `unreadable`: see reduced.py."""
    from .traces.columns import Catalog
    from .verdict import reduced

    groups = analysed.arrivals.groups if analysed.arrivals is not None else ()
    return reduced.reduced(job.readers, Catalog(groups), unreadable)


def counted(judged: Judged, part: Reduced) -> Judged:
    """The verdict on a part, with the number of calls of the whole job."""
    return replace(judged, calls=sum(part.calls.values()), cut={rank: part.calls[rank] for rank in judged.cut})


def drawn(job: Job, trace: Trace, analysed: Analysed, part: Reduced) -> Source:
    """The calls that the page draws, read from the rings.

    `trace`: the ranks, with the calls that the verdict rests on. Adds stacks to the calls of the slow ranks in
    `analysed`.
    """
    from .afterwards.picture.packed_columns import FromRings

    assert analysed.arrivals is not None
    analysed.numbers.slow[:] = _with_stacks(job, analysed.numbers.slow)
    readers = {reader.number: reader for reader in job.readers}
    return FromRings(readers, trace, analysed.arrivals, part)


def _with_stacks(job: Job, slow: Sequence[SlowRank]) -> Iterable[SlowRank]:
    readers = {reader.number: reader for reader in job.readers}

    def recorded(rank: int, event: Event) -> Event:
        found = readers[rank].of([event.number]).events if rank in readers else ()
        return next((one for one in found if one.number == event.number), event)

    return [
        replace(
            one,
            event=recorded(one.rank, one.event),
            before=recorded(one.rank, one.before) if one.before is not None else None,
        )
        for one in slow
    ]
