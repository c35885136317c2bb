"""The first cause is named: which rank failed on its own, and which only followed; real jobs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.traces import jobs

from . import forked
from .conftest import line_of, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Job

pytest.importorskip("torch")

#: Scenario, launcher, the operation that rank 0 waits in, the state of rank 1, the rule.
ENDINGS = [
    ("handler_raises", forked.launcher, "all_reduce", r"raised RuntimeError: the worker \(pid 4711\) .* at .*causes.py:\d+", "CL204"),
    ("interrupted", forked.launcher, "all_reduce", r"raised KeyboardInterrupt: at .*causes.py:\d+", None),
    ("wrapped", forked.launcher, "barrier", r"raised OSError: no space left at .*causes.py:\d+", "CL204"),
    ("leaves", torchrun, "barrier", "exited with code 0 without reporting an error", None),
    ("leaves", forked.launcher, "barrier", "exited without reporting an error", None),
]  # fmt: skip


@pytest.mark.parametrize(("scenario", "launcher", "op", "state", "rule"), ENDINGS)
def test_the_rank_that_ended_on_its_own_is_the_cause(
    trace: Callable[..., Job],
    scenario: str,
    launcher: Callable[[int], list[str]],
    op: str,
    state: str,
    rule: str | None,
) -> None:
    job = trace("causes.py", scenario, ranks=2, launcher=launcher)
    found = job.divergence
    assert found is not None, job.err
    assert (job.code, found["verdict"], found["rule"]) == (1, "deadlock", rule)
    waits, ended = found["sides"]
    assert (waits["ranks"], waits["event"]["op"], ended["ranks"]) == ([0], op, [1])
    assert re.fullmatch(state, ended["state"]), ended["state"]


def test_a_rank_that_its_launcher_ended_is_a_consequence(trace: Callable[..., Job]) -> None:
    job = trace("causes.py", "killed_in_a_call", ranks=3, launcher=torchrun)
    found = job.divergence
    assert found is not None, job.err
    sides = [(side["ranks"], side["state"], side["consequence"]) for side in found["sides"]]
    assert sides == [
        ([0], "waits in", False),
        ([1], "was killed by SIGKILL", False),
        ([2], "was ended by its launcher (SIGTERM)", True),
    ]
    assert "rank 0 waits in barrier on the default group {0,1,2}; rank 1 will never reach it\n" in job.err
    assert (found["verdict"], found["rule"]) == ("deadlock", None)


def test_an_exception_while_no_rank_waits_is_no_divergence(trace: Callable[..., Job]) -> None:
    job = trace("causes.py", "alone", ranks=2, launcher=torchrun)
    assert (job.code, job.divergence) == (1, None), job.err
    assert "no divergence" in job.err
    ranks = jobs.load(job.folder).ranks
    assert ranks[0].exit is not None
    assert (ranks[0].exit.code, ranks[0].exit.signal) == (-15, "SIGTERM")
    assert ranks[1].ending is not None
    assert ranks[1].exit is not None
    assert (ranks[1].ending.failure, ranks[1].exit.code, ranks[1].exit.signal) == ("own", 1, "")


@pytest.mark.parametrize("launcher", [torchrun, forked.launcher])
def test_a_slow_rank_is_a_timeout_with_its_place(
    trace: Callable[..., Job], launcher: Callable[[int], list[str]]
) -> None:
    job = trace("causes.py", "slow", ranks=2, launcher=launcher, hint_after=60, TIMEOUT="4")
    found = job.divergence
    assert found is not None, job.err
    assert (job.code, found["verdict"], found["what"], found["rule"]) == (1, "timeout", "barrier", None)
    waited, late = found["sides"]
    assert (waited["ranks"], late["ranks"]) == ([1], [0])
    line = line_of("def prepare", "causes.py") + 1
    assert late["state"].startswith("had not called it")
    assert f"causes.py:{line} prepare: time.sleep(30)" in late["stack"][0]
    assert re.search(rf"rank 0 was slow, at \S*causes.py:{line} prepare\n", job.err), job.err
    assert "DEADLOCK" not in job.err
    assert "collectivelint: a call timed out, see above" in job.err


@pytest.mark.parametrize(
    ("scenario", "rule", "note"),
    [
        (
            "unpicklable",
            "CL204",
            "rank 1 raised TypeError: cannot pickle '_thread.lock' object in all_gather_object at",
        ),
        ("unpicklable_everywhere", "CL108", ""),
        ("threads", "CL207", ""),
    ],
)
def test_the_rule_that_fits(trace: Callable[..., Job], scenario: str, rule: str, note: str) -> None:
    job = trace("causes.py", scenario, ranks=2)
    found = job.divergence
    assert found is not None, job.err
    assert (job.code, found["verdict"], found["rule"]) == (1, "mismatch", rule)
    if note:
        (said,) = found["notes"]
        assert said.startswith(note)
        assert said.endswith(", which was caught")
        assert f"  {said}\n" in job.err
    else:
        assert found["notes"] == []
