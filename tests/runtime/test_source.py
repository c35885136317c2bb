"""Another library than torch, traced by one module: a toy over sockets, whose ranks are real processes (tests/jobs/toy)."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import jobs

from .conftest import line_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Job

_SCRIPT = "toy_job.py"


def _python(_: int) -> list[str]:
    return [sys.executable]


def test_calls_that_agree(trace: Callable[..., Job]) -> None:
    job = trace(_SCRIPT, "agree", launcher=_python)
    assert (job.code, job.divergence) == (0, None), job.err
    assert job.err.splitlines()[-1] == "collectivelint: no divergence in 17 calls of 3 ranks"
    events = jobs.load(job.folder).ranks[0].events
    assert [(event.op, event.group.ranks, event.sequence, event.peer) for event in events] == [
        ("create", (0, 1, 2), 1, -1),
        ("all_reduce", (0, 1, 2), 1, -1),
        ("all_reduce", (0, 1, 2), 2, -1),
        ("all_reduce", (0, 1, 2), 3, -1),
        ("broadcast", (0, 1), 1, 1),
        ("barrier", (0, 1, 2), 4, -1),
    ]
    assert events[1].signature == {"op": "all_reduce", "tensors": [[[2], "torch.float64"]], "reduce_op": "SUM"}
    assert (events[1].place.line, events[1].place.function) == (
        line_of("world.allreduce([1.0, 2.0])", _SCRIPT),
        "agree",
    )


def test_a_report_of_its_trace(trace: Callable[..., Job]) -> None:
    job = trace(_SCRIPT, "agree", launcher=_python)
    command = [sys.executable, "-m", "collectivelint", "report", str(job.folder)]
    out = subprocess.run(command, capture_output=True, text=True, check=False, cwd=job.folder)
    assert (out.returncode, out.stderr) == (0, "")
    assert "group `pair` {0,1}" in out.stdout


@pytest.mark.parametrize(
    ("scenario", "verdict", "sides"),
    [
        (
            "reduces_differently",
            "mismatch",
            [
                ([0, 2], "all_reduce", 'world.allreduce([1.0], "max"'),
                ([1], "all_reduce", 'world.allreduce([1.0], "max"'),
            ],
        ),
        ("hangs", "deadlock", [([1, 2], "barrier", "        world.barrier()"), ([0], "barrier", "pair.barrier()")]),
    ],
)
def test_calls_that_diverge(
    trace: Callable[..., Job], scenario: str, verdict: str, sides: list[tuple[list[int], str, str]]
) -> None:
    job = trace(_SCRIPT, scenario, launcher=_python)
    assert job.code == 1
    assert job.divergence is not None, job.err
    assert job.divergence["verdict"] == verdict
    assert sorted(job.sides()) == sorted((ranks, op, line_of(text, _SCRIPT)) for ranks, op, text in sides)
