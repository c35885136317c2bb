"""The jobs in a folder, recorded by the tracer or by the Flight Recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..traces import folders, jobs
from ..traces.jobs import Job
from ..traces.reader import ring_files
from . import flight_recorder

if TYPE_CHECKING:
    from pathlib import Path


def jobs_of(run: Path, unreadable: list[str]) -> list[Job]:
    """The jobs of a run, or the one job of a folder of Flight Recorder dumps. Raises TraceError if there is neither.

    Problems with ranks that are left out are appended to `unreadable`.
    """
    if folders.is_run(run) or ring_files(run):
        return jobs.read(run, unreadable)
    trace = flight_recorder.load(run)
    started = min((rank.started for rank in trace.ranks.values()), default=0.0)
    return [Job("", len(trace.ranks), 0, started, recorded=trace)]
