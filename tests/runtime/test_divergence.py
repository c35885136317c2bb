"""Every divergent job is named with both call sites; correct ones are not disturbed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from . import forked
from .conftest import line_of, torchrun

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Job

pytest.importorskip("torch")

#: Scenario, verdict, what, and for each side its ranks and a piece of the line it is at.
DIVERGENT = [
    ("operation", "mismatch", "operation", [([1, 2], "all_reduce(torch.ones(2))"), ([0], "all_gather_object([None] * world, rank)")]),
    ("shape", "mismatch", "shape", [([1, 2], "4 if rank == 0 else 6"), ([0], "4 if rank == 0 else 6")]),
    ("dtype", "mismatch", "dtype", [([1, 2], "else torch.int32"), ([0], "else torch.int32")]),
    ("reduce_op", "mismatch", "reduce operation", [([1, 2], "else dist.ReduceOp.SUM"), ([0], "else dist.ReduceOp.SUM")]),
    ("late", "mismatch", "reduce operation", [([1, 2], "else dist.ReduceOp.SUM"), ([0], "else dist.ReduceOp.SUM")]),
    ("root", "mismatch", "root rank", [([0, 2], "src=1 if rank == 1"), ([1], "src=1 if rank == 1")]),
    ("splits", "mismatch", "split sizes", [([1, 2], "expected, sizes)"), ([0], "expected, sizes)")]),
    ("outsider", "deadlock", "barrier", [([0, 1], "        dist.barrier()"), ([2], "src=0, group=service")]),
    ("skipped", "deadlock", "barrier", [([0, 2], "        dist.barrier()"), ([1], "    dist.barrier()")]),
    ("exception", "deadlock", "all_reduce", [([0, 2], "dist.all_reduce(torch.ones(4))"), ([1], "    dist.barrier()")]),
    ("early_exit", "deadlock", "all_reduce", [([0, 2], "dist.all_reduce(torch.ones(4))"), ([1], "    dist.barrier()")]),
    ("killed", "deadlock", "barrier", [([0, 2], "    dist.barrier()"), ([1], "dist.all_reduce(torch.ones(4))")]),
    ("crossing", "deadlock", "barrier", [([1, 2], "dist.barrier(group=group)"), ([0], "dist.barrier(group=group)")]),
    ("group_order", "order", "ranks of the new group", [([0, 2], "dist.new_group(ranks)"), ([1], "dist.new_group(ranks)")]),
    ("backward", "deadlock", "all_reduce", [([0, 2], "        loss.backward()"), ([1], "DistributedDataParallel(")]),
    ("recv_recv", "deadlock", "recv", [([0], "src=1 - rank"), ([1], "src=1 - rank")]),
    ("send_send", "deadlock", "send", [([0], "dst=1 - rank"), ([1], "dst=1 - rank")]),
    ("other_tag", "deadlock", "send", [([0], "tag=1"), ([1], "tag=2")]),
    ("loop_count", "deadlock", "all_reduce", [([1], "dist.all_reduce(torch.ones(2))"), ([0, 2], "dist.all_reduce(torch.ones(2))")]),
    ("signal_handler", "mismatch", "operation", [([0, 2], "dist.all_reduce(torch.ones(2))"), ([1], "        dist.barrier()")]),
    ("silent", "mismatch", "reduce operation", [([1, 2], "else dist.ReduceOp.SUM"), ([0], "else dist.ReduceOp.SUM")]),
    ("scatter_shape", "mismatch", "shape", [([1, 2], "dist.scatter("), ([0], "dist.scatter(")]),
    ("gather_scatter_base", "mismatch", "operation", [([1, 2], "dist.reduce_scatter_tensor("), ([0], "dist.all_gather_into_tensor(")]),
]  # fmt: skip
RULES = {
    "reduce_op": "CL108",
    "root": "CL108",
    "outsider": "CL101",
    "skipped": "CL201",
    "exception": "CL204",
    "crossing": "CL206",
    "group_order": "CL105",
}


#: Of each kind of difference one; the others take their time with `make test-all`.
SLOW = frozenset(
    {"shape", "dtype", "root", "early_exit", "killed", "send_send", "silent", "scatter_shape", "gather_scatter_base"}
)
#: Started by torchrun: a mismatch that hangs, and an exception, after which torchrun ends the other ranks.
REAL = frozenset({"operation", "exception"})
CASES = [pytest.param(*case, id=case[0], marks=pytest.mark.slow if case[0] in SLOW else ()) for case in DIVERGENT]


@pytest.mark.parametrize(("scenario", "verdict", "what", "sides"), CASES)
def test_divergence_is_named_with_both_call_sites(
    trace: Callable[..., Job], scenario: str, verdict: str, what: str, sides: list[tuple[list[int], str]]
) -> None:
    job = trace("scenarios.py", scenario, launcher=torchrun if scenario in REAL else forked.launcher)
    assert job.code == 1, job.err
    assert job.divergence is not None
    assert (job.divergence["verdict"], job.divergence["what"]) == (verdict, what)
    assert [ranks for ranks, _, _ in job.sides()] == [ranks for ranks, _ in sides]
    for (_, _, line), (_, text) in zip(job.sides(), sides, strict=True):
        assert text in _source()[line - 1]
        assert f"scenarios.py:{line}" in job.err
    assert job.divergence["rule"] == RULES.get(scenario, job.divergence["rule"])


def _source() -> list[str]:
    from .conftest import JOBS

    return (JOBS / "scenarios.py").read_text().splitlines()


@pytest.mark.parametrize("scenario", ["early_bound", "uneven_all_gather", "same_groups_spelt_differently"])
def test_correct_job_is_left_alone(trace: Callable[..., Job], scenario: str) -> None:
    job = trace("scenarios.py", scenario)
    assert (job.code, job.divergence) == (0, None), job.err
    assert "no divergence" in job.err


def test_straggler_is_a_hint_and_no_error(trace: Callable[..., Job]) -> None:
    job = trace("scenarios.py", "straggler")
    assert (job.code, job.divergence) == (0, None), job.err
    assert f"scenarios.py:{line_of('    dist.barrier()', 'scenarios.py')}" not in job.err.partition("note:")[0]
    assert "rank 1 may still come" in job.err


def test_a_call_by_an_outsider_is_reported_when_the_job_has_ended(trace: Callable[..., Job]) -> None:
    job = trace("scenarios.py", "not_a_member", hint_after=1)
    assert job.divergence is not None
    assert (job.code, job.divergence["verdict"], [ranks for ranks, _, _ in job.sides()]) == (1, "outsider", [[2]])
    assert "Received" not in job.err, "the job was stopped"


def test_a_group_that_only_its_members_make_is_reported_when_the_job_has_ended(trace: Callable[..., Job]) -> None:
    job = trace("scenarios.py", "subset_group")
    assert job.divergence is not None
    assert (job.code, job.divergence["verdict"], job.divergence["rule"]) == (1, "unmatched", "CL105")
    assert [ranks for ranks, _, _ in job.sides()] == [[0, 1], [2]]


def test_killed_rank_leaves_its_last_calls(trace: Callable[..., Job]) -> None:
    from collectivelint.runtime.traces import jobs

    job = trace("scenarios.py", "killed")
    rank = jobs.load(job.folder).ranks[1]
    assert rank.end == "running"
    assert [event.op for event in rank.events] == ["all_reduce"] * 3 + ["barrier", "all_reduce"]
    assert all(event.end >= event.start for event in rank.events)
