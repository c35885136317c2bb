"""MPI, traced by one module (tests/jobs/mpi/source.py): real ranks under mpiexec, without torch."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import jobs

from .conftest import line_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Job

pytest.importorskip("mpi4py")
#: That of the wheel `mpich`, which mpi4py loads as well.
_MPIEXEC = shutil.which("mpiexec", path=str(Path(sys.executable).parent)) or ""
pytestmark = pytest.mark.skipif(not _MPIEXEC, reason="mpich is not installed in this environment")
_SCRIPT = "mpi_job.py"


def _mpiexec(ranks: int) -> list[str]:
    return [_MPIEXEC, "-n", str(ranks), sys.executable]


def test_calls_that_agree(trace: Callable[..., Job]) -> None:
    job = trace(_SCRIPT, "agree", launcher=_mpiexec)
    assert (job.code, job.divergence) == (0, None), job.err
    assert job.err.splitlines()[-1] == "collectivelint: no divergence in 16 calls of 3 ranks"
    events = jobs.load(job.folder).ranks[1].events
    assert [(event.op, str(event.group), event.sequence, event.peer) for event in events] == [
        ("split", "default group {0,1,2}", 1, -1),
        ("all_reduce", "default group {0,1,2}", 1, -1),
        ("broadcast", "group `part 0` {0,1}", 1, 1),
        ("send", "default group {0,1,2}", 1, 0),
        ("barrier", "default group {0,1,2}", 2, -1),
    ]
    assert (events[1].place.line, events[1].place.function) == (line_of("world.Allreduce(", _SCRIPT), "agree")


@pytest.mark.parametrize(
    ("scenario", "verdict", "sides"),
    [
        (
            "other_root",
            "mismatch",
            [([0, 2], "broadcast", "world.Bcast(np.zeros(1)"), ([1], "broadcast", "world.Bcast(np.zeros(1)")],
        ),
        ("hangs", "deadlock", [([1, 2], "barrier", "        world.Barrier()"), ([0], "barrier", "        pair.Barrier()")]),
    ],
)  # fmt: skip
def test_calls_that_diverge(
    trace: Callable[..., Job], scenario: str, verdict: str, sides: list[tuple[list[int], str, str]]
) -> None:
    job = trace(_SCRIPT, scenario, launcher=_mpiexec)
    assert job.code == 1
    assert job.divergence is not None, job.err
    assert job.divergence["verdict"] == verdict
    assert sorted(job.sides()) == sorted((ranks, op, line_of(text, _SCRIPT)) for ranks, op, text in sides)
