"""`--check-data`: parameters that do not belong together and results that differ are reported, and correct jobs left alone."""

from __future__ import annotations

import copy
import gc
import struct
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from collectivelint.runtime.traces import jobs, messages, ring
from collectivelint.runtime.traces.model import Argument, Event, Group, Place, Rank, State, Trace
from collectivelint.runtime.traces.reader import read_rank
from collectivelint.runtime.verdict import explain, matching
from collectivelint.runtime.verdict.data import conflicting_arguments, results_differ

from .conftest import line_of
from .test_ring import write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Job

torch = pytest.importorskip("torch")

SCRIPT = "checked_data.py"
CHECK = ("--check-data",)


@pytest.mark.parametrize(
    ("name", "site", "headline"),
    [
        (
            "crossed",
            "# of gradients",
            "rank 0 calls all_reduce with the gradient of `2.weight`, rank 1 with the gradient of `1.weight`: call #2",
        ),
        (
            "set_order",
            "# in any order",
            "rank 0 calls broadcast with the parameter `0.weight`, rank 1 with the parameter `3.weight`: call #1",
        ),
        ("written_early", "# written to", "rank 0 and rank 1 have different results of call #1"),
        (
            "ddp_order",
            "# in any order of layers",
            "rank 0 calls broadcast with `module.0.weight` as tensor 1 of 4, rank 1 with `module.3.weight` as tensor 1 of 4: call #3",
        ),
        ("ddp_written", "# of DDP", "rank 0 and rank 1 have different results of call #4"),
    ],
)
def test_data_that_differs_is_reported(trace: Callable[..., Job], name: str, site: str, headline: str) -> None:
    job = trace(SCRIPT, name, ranks=2, options=CHECK)
    assert job.code == 1
    assert f"MISMATCH: {headline} on the default group {{0,1}}" in job.err
    assert job.divergence is not None
    assert {line for _, _, line in job.sides()} == {line_of(site, SCRIPT)}
    assert job.divergence["what"] == ("result" if "written" in name else "parameter")
    assert job.divergence["rule"] is None


def test_results_of_the_reducer_of_ddp_are_compared(trace: Callable[..., Job]) -> None:
    job = trace(SCRIPT, "ddp", ranks=2, options=CHECK)
    assert (job.code, job.divergence) == (0, None), job.err
    # In three of the four steps with each of four kinds of DDP.
    reduced = [
        [event.checksum for event in rank.events if event.op == "all_reduce"]
        for rank in jobs.load(job.folder).ranks.values()
    ]
    assert len(reduced[0]) >= 12
    assert 0 not in reduced[0]
    assert reduced[0] == reduced[1]


def test_without_the_option_data_is_not_looked_at(trace: Callable[..., Job]) -> None:
    job = trace(SCRIPT, "crossed,set_order,written_early", ranks=2)
    assert (job.code, job.divergence) == (0, None), job.err
    events = [event for rank in jobs.load(job.folder).ranks.values() for event in rank.events]
    assert {(event.argument, event.checksum) for event in events} == {(None, 0)}


def test_the_ranks_that_differ_are_told_apart(trace: Callable[..., Job]) -> None:
    job = trace(SCRIPT, "written_early", ranks=3, options=CHECK)
    assert job.divergence is not None
    assert [side["ranks"] for side in job.divergence["sides"]] == [[0, 1], [2]]
    checksums = [side["event"]["checksum"] for side in job.divergence["sides"]]
    assert len(set(checksums)) == 2
    assert f"when its wait returned: {checksums[0]} on ranks 0-1, {checksums[1]} on rank 2" in job.err


def test_correct_data_is_left_alone(trace: Callable[..., Job]) -> None:
    job = trace(SCRIPT, "alike,tied,gathered,asynchronous,owned,unusual", ranks=2, options=CHECK)
    assert (job.code, job.divergence) == (0, None), job.err
    for rank in jobs.load(job.folder).ranks.values():
        passed = [str(event.argument) for event in rank.events if event.argument is not None]
        inner = "inner." * rank.rank
        assert f"gradient of `{inner}3.weight`" in passed
        assert f"parameter `{'later.' if rank.rank == 0 else inner}0.weight`" in passed
        assert ("gradient of `head.weight`" if rank.rank else "gradient of `embed.weight`") in passed
        assert "parameter `embed.weight` or `head.weight`" in passed
        checked = {event.op for event in rank.events if event.checksum}
        assert {"all_reduce", "broadcast", "all_gather"} <= checked
        assert not {"reduce", "gather", "reduce_scatter_tensor", "barrier"} & checked


def test_every_way_to_communicate_is_left_alone(trace: Callable[..., Job], tmp_path: Path) -> None:
    """DDP, FSDP2, DTensor, functional collectives, DCP, threads and inference mode."""
    job = trace("everything.py", str(tmp_path / "checkpoint"), ranks=2, options=CHECK)
    assert (job.code, job.divergence) == (0, None), job.err
    assert "checked" not in job.err
    events = jobs.load(job.folder).ranks[0].events
    assert {"all_reduce", "all_gather_into_tensor", "broadcast"} <= {event.op for event in events if event.checksum}


_OWN = """
import sys
import torch
import torch.distributed as dist
from collectivelint.runtime.testing import DivergenceError, run_ranks

def reduces(use):
    model = torch.nn.Sequential(*(torch.nn.Linear(2, 2, bias=False) for _ in range(3)))
    for number in use[dist.get_rank()]:
        model[number].weight.grad = torch.ones(2, 2)
        dist.all_reduce(model[number].weight.grad)

if __name__ == "__main__":
    run_ranks(reduces, 2, args=([[0, 1], [0, 1]],), check_data=True)
    try:
        run_ranks(reduces, 2, args=([[0, 1], [0, 2]],), check_data=True)
    except DivergenceError as error:
        print(error)
"""


def test_in_a_test_of_ones_own(tmp_path: Path) -> None:
    script = tmp_path / "own.py"
    script.write_text(_OWN)
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "rank 0 calls all_reduce with the gradient of `1.weight`, rank 1 with" in ran.stdout, ran.stderr


# ------------------------------------------------------------------------------------------------------ parameters


def test_the_parameter_of_a_tensor() -> None:
    from collectivelint.runtime.inside.parameters import Parameters

    before = torch.nn.ModuleDict({"old": torch.nn.Linear(3, 3)})
    known = Parameters()
    model = torch.nn.ModuleDict({"new": torch.nn.BatchNorm1d(5), "same": torch.nn.Linear(3, 3, bias=False)})
    model["again"] = model["same"]
    assert str(known.of(before["old"].weight.detach().view(9))) == "parameter `old.weight`"
    assert str(known.of(model["new"].running_mean)) == "buffer `new.running_mean`"
    assert known.of(model["same"].weight) == Argument("parameter", ("same.weight", "again.weight"))
    model["same"].weight.grad = torch.ones(3, 3)
    assert str(known.of(model["same"].weight.grad[0])) == "gradient of `same.weight` or `again.weight`"
    # Tied behind torch's back: behind `a` it is `b` that is looked at first.
    tied = torch.nn.ModuleDict({"a": torch.nn.Linear(7, 7, bias=False), "b": torch.nn.Linear(7, 7, bias=False)})
    assert str(known.of(tied["a"].weight)) == "parameter `a.weight`"
    tied["b"].weight.data = tied["a"].weight.data
    assert known.of(tied["b"].weight) == Argument("parameter", ("a.weight", "b.weight"))
    # Whatever has the same memory, and nothing else.
    assert known.of(torch.ones(3, 3)) is None
    assert known.of(model["same"].weight.clone()) is None
    model["same"].weight = torch.nn.Parameter(torch.ones(3, 3))
    assert known.of(model["same"].weight) == Argument("parameter", ("same.weight", "again.weight"))
    # A module that is only copied is not reported by torch, and found after some tries.
    copied = copy.deepcopy(before)
    assert "parameter `old.weight`" in [str(known.of(copied["old"].weight)) for _ in range(9)]


def test_no_module_is_kept_alive() -> None:
    from collectivelint.runtime.inside.parameters import Parameters

    known = Parameters()
    model = torch.nn.Linear(3, 3)
    weight = model.weight
    assert known.of(weight) is not None
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
    assert known.of(weight) is None


# ---------------------------------------------------------------------------------------------------------- verdict


def call(rank: int, sequence: int, name: str = "", op: str = "all_reduce", **more: Any) -> Event:
    more = {"argument": Argument("gradient", (name,)) if name else None, **more}
    signature = {"op": op, "tensors": [[[2], "torch.float32"]]}
    group, place = Group((0, 1, 2), 0, "default_pg"), Place("a.py", 3, "f")
    return Event(
        rank, sequence, "collective", op, group, sequence, -1, signature, False, State.DONE, 1.0, 2.0, place, **more
    )


def conflicts(*ranks: str, op: str = "all_reduce") -> list[int]:
    """Of calls with the parameters named by each rank's letters; "-" is a tensor that is none."""
    calls = {
        number: [call(rank, number, name.replace("-", ""), op) for rank, name in enumerate(names)]
        for number, names in enumerate(zip(*(names.split() for names in ranks), strict=True), 1)
    }
    return sorted(conflicting_arguments(calls))


@pytest.mark.parametrize(
    ("here", "there", "is_wrong"),
    [
        ("a b", "b a", True),
        ("a b", "a b", False),
        # A rank has wrapped its model, has a tensor that is no parameter, or other names altogether.
        ("a b", "model.a model.b", False),
        ("a -", "- a", False),
        ("a b", "c d", False),
        # Another model is longer; the shapes of what is broadcast have been compared before.
        ("a b", "b a c", False),
    ],
)
def test_lists_of_tensors_conflict_where_a_name_has_moved(here: str, there: str, is_wrong: bool) -> None:
    names = [tuple(name.replace("-", "") for name in side.split()) for side in (here, there)]
    events = [call(rank, 1, op="broadcast", argument=Argument("tensors", side)) for rank, side in enumerate(names)]
    assert conflicting_arguments({1: events}) == ({1} if is_wrong else frozenset())


def test_parameters_conflict_only_where_their_names_mean_the_same() -> None:
    assert conflicts("a b c", "a b c") == []
    assert conflicts("a b d", "a c d") == [2]
    assert conflicts("b c d", "a b c") == [1, 2, 3]
    assert conflicts("a b d", "a b d", "a c d") == [2]
    assert conflicts("a - d", "a c d") == []
    # Names of two stages, or of a model that is wrapped on one rank.
    assert conflicts("embed embed", "head head") == []
    assert conflicts("m.a m.b a", "a b a") == []
    # One model is copied into another; the order of a set.
    assert conflicts("a b m.a", "a b n.a", op="broadcast") == []
    assert conflicts("a b c", "b a c", op="broadcast") == [1, 2]


def test_results_differ_only_where_both_are_known_and_the_same_is_left() -> None:
    assert results_differ([call(0, 1, checksum=5), call(1, 1, checksum=6)])
    assert not results_differ([call(0, 1, checksum=5), call(1, 1, checksum=5)])
    assert not results_differ([call(0, 1, checksum=5), call(1, 1)])
    assert not results_differ([call(0, 1, op="reduce", checksum=5), call(1, 1, op="reduce", checksum=6)])


def test_another_result_is_explained() -> None:
    events = [call(0, 1, checksum=5), call(1, 1), call(2, 1, checksum=6)]
    ranks = {event.rank: Rank(event.rank, 3, 1, "host", 0, 0.0, "finished", "", (event,)) for event in events}
    found = matching.compare(Trace(ranks), over=True)
    assert found is not None
    assert [side.ranks for side in found.sides] == [(0,), (2,)]
    assert explain.headline(found).startswith("MISMATCH: rank 0 and rank 2 have different results of call #1")
    assert found.notes == ("checksum of the result when the call returned: 00000005 on rank 0, 00000006 on rank 2",)


# ------------------------------------------------------------------------------------------------------------ files


def test_what_was_passed_travels_between_hosts() -> None:
    event = call(0, 1, "a.weight", checksum=7)
    rank = Rank(0, 1, 1, "host", 0, 0.0, "running", "", (event, call(0, 2)))
    (read,) = messages.decode(messages.encode([rank]))
    assert [(event.argument, event.checksum) for event in read.events] == [(event.argument, 7), (None, 0)]


@pytest.mark.parametrize("version", [4, 5])
def test_traces_of_releases_before_are_read(tmp_path: Path, version: int) -> None:
    file = write(tmp_path, 2)
    data = bytearray(file.read_bytes())
    struct.pack_into("<I", data, 8, version)
    file.write_bytes(data)
    rank = read_rank(file)
    assert [(event.op, event.argument, event.checksum) for event in rank.events] == [("barrier", None, 0)] * 2
    assert ring.OLDEST_VERSION <= version < ring.VERSION
