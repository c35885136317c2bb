"""The verdict on each job and attempt of a run, and its record for other programs: `divergence.json`."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from ..traces import jobs, validation
from ..traces.model import Trace
from ..verdict import endings, explain, matching
from .liveness import lives

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from ..traces.jobs import Job
    from ..verdict.model import Divergence

FILE: Final = "divergence.json"
#: Of docs/divergence.schema.json. Fields may be added within a version.
VERSION: Final = 1
#: No record of ours has so many bytes.
_LARGEST: Final = 1 << 28


@dataclass(frozen=True, slots=True)
class Judged:
    """A job and the verdict on its trace.

    `name` is "" for the only job; `ranks`: how many could be read; `calls`: the calls of all of them; `cut`: the number
    of recorded calls of each rank that could not be recorded to its end. `killed`: the ranks that ended abnormally
    without an exception, by how they ended; `silent`: ranks without a recorded end. Both are empty if a verdict names
    these ranks, or the job was ended from outside.
    """

    job: Job
    name: str
    divergence: Divergence | None
    ranks: int
    calls: int
    cut: Mapping[int, int]
    killed: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    silent: tuple[int, ...] = ()


def judge(job: Job, name: str, trace: Trace, *, told: bool, known: Divergence | None = None) -> Judged:
    """The verdict on a job that has ended, from its events. `known`: the divergence that was found while it ran.

    `told`: the job was ended from outside; then a rank that did not make a call proves nothing.
    """
    found = known
    if found is None and trace.ranks:
        found = matching.compare(_before_the_end(trace) if told else trace, over=not told)
    judged = summed(job, name, trace, found)
    if found is not None or told:
        return judged
    left = [rank for rank in trace.ranks.values() if rank.end == "running" and rank.ending is None]
    killed: dict[str, tuple[int, ...]] = {}
    for rank in left:
        if rank.exit is not None and not rank.exit.signal and rank.exit.code:
            how = endings.state(rank, over=True)
            killed[how] = (*killed.get(how, ()), rank.rank)
    # Of a rank on another host it is not known.
    gone = {reader.number for reader in job.readers if not lives(reader)}
    silent = tuple(rank.rank for rank in left if rank.exit is None and rank.rank in gone)
    return replace(judged, killed=killed, silent=silent)


def summed(job: Job, name: str, trace: Trace, found: Divergence | None) -> Judged:
    """The verdict `found`, with the number of ranks and calls that it covers."""
    calls = {rank.rank: len(rank.events) + rank.lost for rank in trace.ranks.values()}
    cut = {rank.rank: calls[rank.rank] for rank in trace.ranks.values() if rank.end == "untraced"}
    return Judged(job, name, found, len(trace.ranks), sum(calls.values()), cut)


def main_trace(judged: Sequence[Judged]) -> Trace:
    """The trace of the largest job of a run; an empty one if there is none."""
    return jobs.main_of([item.job for item in judged]).trace([]) if judged else Trace()


def _before_the_end(trace: Trace) -> Trace:
    """The trace as it was before the job was ended from outside: ranks without an exception of their own still run.

    All threads that were ever recorded count as alive, since the end of a thread is not recorded.
    """
    ranks = {
        number: rank
        if rank.end == "untraced" or endings.failure(rank) == "own"
        else replace(rank, end="running", error="", ending=None, exit=None, alive=True)
        for number, rank in trace.ranks.items()
    }
    return Trace(ranks)


# ------------------------------------------------------------------------------------------------- for other programs


def records(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """A record for each job that diverged, in the order of their starts: see docs/divergence.schema.json."""
    return [
        record(item.job, item.divergence, number, len(judged), item.name)
        for number, item in enumerate(judged, 1)
        if item.divergence is not None
    ]


def record(job: Job, found: Divergence, number: int, of: int, name: str) -> dict[str, Any]:
    """The job and its verdict as plain data."""
    return {"job": identity(job, number, of, name), **explain.as_dict(found)}


def identity(job: Job, number: int, of: int, name: str) -> dict[str, Any]:
    """The identity of a job, as plain data. `number`: from 1, counts the jobs and attempts of a run by their starts."""
    return {
        "number": number,
        "of": of,
        "name": name or f"job ({jobs.clock(job.started)}, {jobs.ranks_of(len(job.ranks), job.world_size)})",
        "store": job.store,
        "world_size": job.world_size,
        "attempt": job.attempt,
        "started": job.started,
        "ranks": list(job.ranks),
    }


def write(folder: Path, found: Iterable[Mapping[str, Any]]) -> None:
    """Write `divergence.json` into the folder of a run. Raise OSError where that fails."""
    data = {"version": VERSION, "verdicts": list(found)}
    atomic.write(folder / FILE, json.dumps(data, indent=2) + "\n", follow=False)


def read(folder: Path) -> list[dict[str, Any]]:
    """The records that another watcher of the run wrote; records of another format are left out."""
    try:
        data = validation.mapping(validation.parsed(reading.read_bytes(folder / FILE, _LARGEST, follow=False)))
        found = [validation.mapping(item) for item in validation.items(data.get("verdicts"))]
        return [item for item in found if isinstance(item.get("job"), dict)]
    except (OSError, ValueError):
        return []


def timed(judged: Judged, recorded: Iterable[Mapping[str, Any]]) -> Judged:
    """The verdict, with the waiting time from the record: the trace itself may end much earlier.

    `recorded`: the records of the run.
    """
    found = judged.divergence
    if found is None or found.verdict != "deadlock":
        return judged
    for item in recorded:
        waited, group = item.get("waited"), item.get("group")
        same = (item.get("verdict"), item.get("sequence")) == (found.verdict, found.sequence) and is_of(
            item, judged.job
        )
        if (
            same
            and isinstance(group, dict)
            and group.get("ranks") == list(found.group.ranks)
            and isinstance(waited, float)
        ):
            return replace(judged, divergence=replace(found, waited=max(found.waited, waited)))
    return judged


def is_of(item: Mapping[str, Any], job: Job) -> bool:
    """Whether a record is about this job."""
    return (item["job"].get("store"), item["job"].get("started")) == (job.store, job.started)
