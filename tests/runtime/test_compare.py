"""The verdict on made-up records: what real jobs reach only by luck of timing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from collectivelint.runtime.traces.model import Event, Exit, Group, Place, Rank, State, Trace
from collectivelint.runtime.verdict.matching import compare

WORLD = Group((0, 1, 2), 0, "default_pg")
PAIR = Group((0, 1), 0, "pair")


def rank(number: int, *calls: tuple[Any, ...], end: str = "running", alive: bool = True) -> Rank:
    """A rank that made these calls: (op, group) or (op, group, state) or (op, group, state, signature, peer)."""
    counts: dict[Any, int] = {}
    events = []
    for position, call in enumerate(calls):
        op, group, state, signature, peer = (*call, *(State.DONE, {}, -1)[len(call) - 2 :])
        kind = "p2p" if op in ("send", "recv") else "create" if op == "new_group" else "collective"
        key = (group.key, kind, op if kind == "p2p" else "", peer if kind == "p2p" else -1)
        counts[key] = counts.get(key, 0) + 1
        place = Place(f"{op}.py", position + 1, "step")
        signature = {"op": op, **signature}
        start = float(position)
        ended = start + 0.5 if state is State.DONE else 0.0
        events.append(
            Event(
                number, position + 1, kind, op, group, counts[key], peer, signature, False, state, start, ended, place
            )  # type: ignore[arg-type]
        )
    return Rank(number, 3, 100 + number, "host", 0, 0.0, end, "", tuple(events), alive=alive)  # type: ignore[arg-type]


def trace(*ranks: Rank) -> Trace:
    return Trace({rank.rank: rank for rank in ranks})


WAITS = State.WAITING


def test_nobody_has_called_anything() -> None:
    assert compare(trace(rank(0), rank(1), rank(2)), over=False) is None


def test_a_rank_that_computes_may_still_come() -> None:
    jobs = trace(rank(0, ("barrier", WORLD, WAITS)), rank(1, ("barrier", WORLD, WAITS)), rank(2))
    assert compare(jobs, over=False) is None
    found = compare(jobs, over=True)
    assert found is not None
    assert [side.ranks for side in found.sides] == [(0, 1), (2,)]


def test_a_rank_that_died_will_not_come() -> None:
    jobs = trace(rank(0, ("barrier", WORLD, WAITS)), rank(1, ("barrier", WORLD, WAITS)), rank(2, alive=False))
    found = compare(jobs, over=False)
    assert found is not None
    assert found.sides[1].state == "exited without reporting an error"


def test_a_rank_that_destroyed_the_group_will_not_come() -> None:
    waits = rank(0, ("barrier", WORLD, WAITS)), rank(1, ("barrier", WORLD, WAITS))
    found = compare(trace(*waits, replace(rank(2), destroyed=frozenset({WORLD.key}))), over=False)
    assert found is not None
    assert found.sides[1].state == "destroyed the group without this call and is elsewhere"
    again = replace(rank(2), destroyed=frozenset({Group((0, 1, 2), 1, "").key}))
    assert compare(trace(*waits, again), over=False) is None


def test_a_chain_of_waits_that_ends_at_a_running_rank_is_no_deadlock() -> None:
    jobs = trace(
        rank(0, ("all_reduce", WORLD, State.ISSUED), ("barrier", PAIR, WAITS)),
        rank(1, ("all_reduce", WORLD, WAITS)),
        rank(2),
    )
    assert compare(jobs, over=False) is None


def test_a_cycle_of_waits_is_a_deadlock() -> None:
    jobs = trace(
        rank(0, ("barrier", PAIR, WAITS)), rank(1, ("barrier", WORLD, WAITS)), rank(2, ("barrier", WORLD, WAITS))
    )
    found = compare(jobs, over=False)
    assert found is not None
    assert found.verdict == "deadlock"


def test_the_cause_is_named_rather_than_those_who_wait_for_it() -> None:
    jobs = trace(
        rank(0, ("recv", WORLD, WAITS, {}, 1)),
        rank(1, ("recv", WORLD, WAITS, {}, 0)),
        rank(2, ("barrier", WORLD, WAITS)),
    )
    found = compare(jobs, over=False)
    assert found is not None
    assert found.what == "recv"
    assert [side.ranks for side in found.sides] == [(0,), (1,)]


def test_a_receiver_gets_what_was_sent() -> None:
    jobs = trace(rank(0, ("send", WORLD, State.DONE, {}, 1)), rank(1, ("recv", WORLD, WAITS, {}, 0)), rank(2))
    assert compare(jobs, over=False) is None


def test_everybody_has_arrived_so_nobody_is_stuck() -> None:
    jobs = trace(*(rank(number, ("barrier", WORLD, WAITS)) for number in range(3)))
    assert compare(jobs, over=False) is None
    assert compare(jobs, over=True) is None


def test_an_interrupted_rank_proves_nothing_about_the_order_of_groups() -> None:
    jobs = trace(
        rank(0, ("new_group", WORLD, State.DONE, {"ranks": [0, 1]})),
        rank(1, ("new_group", WORLD, State.DONE, {"ranks": [0, 1]})),
        rank(2),
    )
    assert compare(jobs, over=False) is None


@pytest.mark.parametrize("key", ["reduce_op", "tensors"])
def test_first_difference_in_time_is_reported(key: str) -> None:
    early = ("all_reduce", WORLD, State.DONE, {"reduce_op": "SUM", "tensors": [[[1], "float"]]})
    other = {**early[3], key: "MAX" if key == "reduce_op" else [[[2], "float"]]}
    jobs = trace(
        rank(0, early, ("barrier", WORLD), ("all_reduce", WORLD)),
        rank(1, ("all_reduce", WORLD, State.DONE, other), ("all_gather", WORLD), ("all_reduce", WORLD)),
    )
    found = compare(jobs, over=False)
    assert found is not None
    assert (found.sequence, found.what) == (1, "reduce operation" if key == "reduce_op" else "shape")


def test_gather_lists_and_pieces_may_differ_between_ranks() -> None:
    jobs = trace(
        *(
            rank(number, ("all_to_all_single", WORLD, State.DONE, {"sent": [[[number + 1], "float"]]}), end="finished")
            for number in range(3)
        )
    )
    assert compare(jobs, over=True) is None


@pytest.mark.parametrize(("op", "field"), [("all_gather", "tensors"), ("all_to_all_single", "sent")])
def test_what_may_differ_in_shape_has_one_dtype(op: str, field: str) -> None:
    """`all_gather_object` begins with an all_gather of sizes: int64 where another rank's tensors are float32."""
    dtypes = ("torch.int64", "torch.float32", "torch.float32")
    calls = [(op, WORLD, State.DONE, {field: [[[2 + number], dtype]]}) for number, dtype in enumerate(dtypes)]
    found = compare(trace(*(rank(number, call) for number, call in enumerate(calls))), over=False)
    assert found is not None
    assert (found.what, [side.ranks for side in found.sides]) == ("dtype", [(1, 2), (0,)])


def test_a_rank_without_data_may_send_nothing_of_another_dtype() -> None:
    sent = ([[[3], "torch.float32"]], [[[0], "torch.int64"]])
    calls = [("all_to_all_single", WORLD, State.DONE, {"sent": tensors}) for tensors in sent]
    jobs = trace(*(rank(number, call, end="finished") for number, call in enumerate(calls)))
    assert compare(jobs, over=True) is None


def test_a_handle_left_open_by_ranks_that_skip_the_end_of_python() -> None:
    """`os._exit(0)`: only torchrun knows that they ended well."""
    call = ("all_reduce", WORLD, State.ISSUED)
    ranks = [replace(rank(number, *[call] * (number == 0)), exit=Exit(0, "", 9.0)) for number in range(3)]
    found = compare(trace(*ranks), over=True)
    assert found is not None
    assert (found.verdict, [side.ranks for side in found.sides]) == ("unmatched", [(0,), (1, 2)])
    assert compare(trace(*(replace(ranks[0], rank=number) for number in range(3))), over=True) is None


def test_a_call_that_nobody_answered_is_found_after_a_job_that_ended_well() -> None:
    call = ("broadcast", WORLD, State.DONE, {}, 0)
    jobs = trace(rank(0, call, end="finished"), rank(1, call, end="finished"), rank(2, end="finished"))
    assert compare(jobs, over=False) is None
    found = compare(jobs, over=True)
    assert found is not None
    assert (found.verdict, [side.ranks for side in found.sides]) == ("unmatched", [(0, 1), (2,)])


def test_a_thread_that_waits_says_nothing_of_the_others() -> None:
    """Crossing groups on two ranks, but another thread of one of them may still make the call."""
    waits = rank(0, ("barrier", WORLD, WAITS)), rank(1, ("all_reduce", PAIR, WAITS))
    jobs = trace(*waits, rank(2, alive=False))
    assert compare(jobs, over=False) is not None
    jobs = trace(replace(waits[0], callers={PAIR.key: frozenset({7})}), waits[1], rank(2))
    assert compare(jobs, over=False) is None
    assert compare(jobs, over=True) is not None


def test_a_thread_of_another_group_does_not_come_to_help() -> None:
    """A checkpoint's thread has a group of its own; what the main threads have crossed it does not mend."""
    third = Group((0, 1), 1, "checkpoint")
    jobs = trace(
        replace(rank(0, ("barrier", WORLD, WAITS)), callers={third.key: frozenset({7})}),
        replace(rank(1, ("all_reduce", PAIR, WAITS)), callers={third.key: frozenset({8})}),
        rank(2, ("barrier", WORLD, WAITS)),
    )
    found = compare(jobs, over=False)
    assert found is not None
    assert found.verdict == "deadlock"


def test_a_thread_waits_and_the_main_thread_goes_on() -> None:
    waits = replace(rank(0, ("barrier", PAIR, WAITS)).events[0], thread=7)
    jobs = trace(replace(rank(0), events=(waits,), callers={PAIR.key: frozenset({7})}), rank(1), rank(2))
    assert compare(jobs, over=False) is None
    jobs = trace(replace(rank(0), events=(waits,)), rank(1, end="finished"), rank(2))
    found = compare(jobs, over=False)
    assert found is not None
    assert [side.state for side in found.sides] == ["waits in", "has finished"]


def test_a_handle_that_nobody_can_complete_any_more() -> None:
    """DDP's reducer waits in C++: all that is seen is that the call has been issued."""
    issued = rank(0, ("all_reduce", WORLD, State.ISSUED))
    assert compare(trace(issued, rank(1), rank(2)), over=False) is None
    assert compare(trace(issued, rank(1, end="finished"), rank(2)), over=False) is None
    found = compare(trace(issued, rank(1, end="finished"), rank(2, ("all_reduce", WORLD))), over=False)
    assert found is not None
    assert [(side.ranks, side.state) for side in found.sides] == [((0,), "waits in"), ((1,), "has finished")]
    all_issued = [rank(number, ("all_reduce", WORLD, State.ISSUED), end="finished") for number in (1, 2)]
    assert compare(trace(issued, *all_issued), over=False) is None


def test_calls_that_the_record_has_moved_past() -> None:
    """Rank 1 has made so many other calls since that its barrier is not in the ring any more."""
    first = rank(0, ("barrier", WORLD, WAITS))
    second = rank(1, ("all_reduce", PAIR))
    third = rank(2, ("barrier", WORLD, WAITS))
    assert compare(trace(first, second, third), over=True) is not None
    assert compare(trace(first, replace(second, lost=7, end="finished"), third), over=True) is None
