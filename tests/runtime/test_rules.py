"""Which of the linter's rules explains a divergence, of made-up records: those that fit, and none where none does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from collectivelint.runtime.traces.model import Ending, Event, Exit, Group, Place, Raised, Rank, State, Trace
from collectivelint.runtime.verdict import explain
from collectivelint.runtime.verdict.matching import compare

WORLD = Group((0, 1), 0, "default_pg", timeout=10.0)
ALL = Group((0, 1, 2), 0, "default_pg")
FOUR = Group((0, 1, 2, 3), 0, "default_pg")
ONE, TWO = Group((0, 1), 1, "one"), Group((0, 1), 2, "two")
PAIR = Group((0, 2), 0, "pair")
WAITS, DONE, ISSUED, FAILED = State.WAITING, State.DONE, State.ISSUED, State.FAILED
MAIN = "train.py:90 main: step()"


def rank(number: int, *calls: Any, end: str = "finished", size: int = 2, **more: Any) -> Rank:
    """A rank with these calls: (op, group, line of `step` in train.py, state, signature or thread)."""
    counts: dict[Any, int] = {}
    events = []
    for position, (op, group, line, state, *rest) in enumerate(calls, 1):
        detail: Any = rest[0] if rest else {}
        kind: Any = "p2p" if op in ("send", "recv") else "create" if op == "new_group" else "collective"
        counts[group.key, kind] = counts.get((group.key, kind), 0) + 1
        path, at = line if isinstance(line, tuple) else ("train.py", line)
        stack = (f"{path}:{at} step: call()", MAIN.replace("train.py", path))
        thread = detail if isinstance(detail, int) else 0
        signature = {"op": op, **(detail if isinstance(detail, dict) else {})}
        events.append(
            Event(
                number, position, kind, op, group, counts[group.key, kind], 1 - number if kind == "p2p" else -1, signature,
                False, state, float(position), position + 0.5 if state is DONE else 0.0, Place(path, at, "step", stack), thread,
            )
        )  # fmt: skip
    return Rank(number, size, 100 + number, "host", 0, 0.0, end, "", tuple(events), **more)  # type: ignore[arg-type]


def running(number: int, *calls: Any, **more: Any) -> Rank:
    return rank(number, *calls, end="running", **more)


def raised(calls: int, op: str = "all_gather_object", group: Group = WORLD) -> tuple[Raised, ...]:
    return (Raised(op, group.key, calls, "TypeError: no", 1.0, Place("train.py", 7, "step")),)


def ending(failure: Any, time: float = 9.0) -> Ending:
    return Ending(failure, "RuntimeError: x", time, Place("train.py", 7, "step", ("train.py:7 step: x",)))


BARRIER = ("barrier", WORLD, 10, WAITS)
CALL = ("all_reduce", WORLD, 8, DONE)
MAX, SUM = {"reduce_op": "MAX"}, {"reduce_op": "SUM"}

#: Name, ranks, verdict, rule.
CASES: list[tuple[str, list[Rank], str, str]] = [
    ("another branch", [running(0, BARRIER), running(1, ("all_reduce", WORLD, 20, WAITS))], "mismatch", "CL201"),
    ("another program", [running(0, BARRIER), running(1, ("all_reduce", WORLD, ("serve.py", 20), WAITS))], "mismatch", ""),
    ("the same line", [running(0, BARRIER), running(1, ("all_reduce", WORLD, 10, WAITS))], "mismatch", ""),
    ("a reduce operation", [rank(0, (*CALL, MAX)), rank(1, (*CALL, SUM))], "mismatch", "CL108"),
    ("a shape", [rank(0, (*CALL, {"tensors": [[[1], "f"]]})), rank(1, (*CALL, {"tensors": [[[2], "f"]]}))], "mismatch", ""),
    ("threads", [running(0, (*BARRIER, 7)), running(1, ("all_reduce", WORLD, 20, WAITS))], "mismatch", "CL207"),
    ("threads and arguments", [rank(0, (*CALL, 7)), rank(1, ("all_gather", WORLD, 9, DONE))], "mismatch", "CL207"),
    ("caught before", [running(0, BARRIER), running(1, ("all_reduce", WORLD, 20, WAITS), raised=raised(0))], "mismatch", "CL204"),
    ("caught later", [running(0, BARRIER), running(1, ("all_reduce", WORLD, 20, WAITS), raised=raised(1))], "mismatch", "CL201"),
    ("caught on another group", [running(0, BARRIER), running(1, ("all_reduce", WORLD, 20, WAITS), raised=raised(0, group=ONE))], "mismatch", "CL201"),
    ("caught by all", [running(0, BARRIER, raised=raised(0)), running(1, ("all_reduce", WORLD, 20, WAITS), raised=raised(0))], "mismatch", "CL201"),
    ("went around", [running(0, CALL, BARRIER), rank(1, CALL)], "deadlock", "CL201"),
    ("without any call", [running(0, BARRIER), rank(1)], "deadlock", ""),
    ("fewer turns of a loop", [running(0, CALL, ("all_reduce", WORLD, 8, WAITS)), rank(1, CALL)], "deadlock", "CL205"),
    ("behind after an exception", [running(0, CALL, BARRIER), rank(1, CALL, raised=raised(0))], "deadlock", "CL204"),
    ("an exception", [running(0, CALL, BARRIER), rank(1, CALL, end="raised", ending=ending("own"))], "deadlock", "CL204"),
    ("Ctrl-C", [running(0, CALL, BARRIER), rank(1, CALL, end="raised", ending=ending("interrupt"))], "deadlock", ""),
    ("killed", [running(0, CALL, BARRIER), running(1, CALL, exit=Exit(-9, "", 5.0))], "deadlock", ""),
    ("killed in the call", [running(0, BARRIER), running(1, BARRIER, exit=Exit(-9, "", 5.0))], "deadlock", ""),
    ("left with a code", [running(0, CALL, BARRIER), rank(1, CALL, exit=Exit(3, "", 5.0))], "deadlock", ""),
    ("gone", [running(0, CALL, BARRIER), running(1, CALL)], "deadlock", ""),
    ("crossing groups", [running(0, ("barrier", ONE, 10, WAITS)), running(1, ("barrier", TWO, 11, WAITS))], "deadlock", "CL206"),
    (
        "the default group",
        [running(0, ("barrier", ALL, 10, WAITS), size=3), running(1, ("barrier", ALL, 10, WAITS), size=3), running(2, ("barrier", PAIR, 20, WAITS), size=3)],
        "deadlock",
        "CL101",
    ),
    (
        "the default group, in a call that the rank has made before",
        [
            running(0, ("barrier", ALL, 10, DONE), ("barrier", ALL, 10, WAITS), size=3),
            running(1, ("barrier", ALL, 10, DONE), ("barrier", ALL, 10, WAITS), size=3),
            running(2, ("barrier", ALL, 10, DONE), ("barrier", PAIR, 20, WAITS), size=3),
        ],
        "deadlock",
        "CL201",
    ),
    (
        "the default group and a cycle of two others",
        [
            running(0, ("barrier", FOUR, 10, WAITS), size=4),
            running(1, ("all_reduce", Group((1, 3), 0, "dp"), 9, WAITS), size=4),
            running(2, ("barrier", FOUR, 10, WAITS), size=4),
            running(3, ("all_reduce", Group((2, 3), 0, "tp"), 7, WAITS), size=4),
        ],
        "deadlock",
        "CL201",
    ),
    ("a group that one rank does not make", [running(0, ("new_group", WORLD, 10, WAITS)), rank(1, CALL)], "deadlock", "CL105"),
    ("a group that one rank cannot make", [running(0, ("new_group", WORLD, 10, WAITS)), rank(1, CALL, end="raised", ending=ending("own"))], "deadlock", ""),
    ("neighbours", [running(0, ("recv", WORLD, 10, WAITS)), running(1, ("recv", WORLD, 10, WAITS))], "deadlock", "CL303"),
    ("a message that is never sent", [running(0, ("recv", WORLD, 10, WAITS)), rank(1, CALL)], "deadlock", ""),
    ("a message that cannot be pickled", [running(0, ("recv", WORLD, 10, WAITS)), rank(1, CALL, raised=raised(0, "send_object_list"))], "deadlock", "CL204"),
    ("not matched", [rank(0, CALL, ("broadcast", WORLD, 9, DONE)), rank(1, CALL)], "unmatched", "CL201"),
    ("not matched after an exception", [rank(0, CALL, ("broadcast", WORLD, 9, DONE)), rank(1, CALL, raised=raised(0))], "unmatched", "CL204"),
    ("slow", [rank(0, CALL, ("barrier", WORLD, 10, FAILED), end="raised", ending=ending("timeout")), running(1, CALL, exit=Exit(-15, "SIGTERM", 9.5))], "timeout", ""),
]  # fmt: skip


@pytest.mark.parametrize(("ranks", "verdict", "rule"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_rule_that_fits(ranks: list[Rank], verdict: str, rule: str) -> None:
    found = compare(Trace({rank.rank: rank for rank in ranks}), over=True)
    assert found is not None
    assert (found.verdict, found.rule) == (verdict, rule)
    assert explain.text(found).count("explains this") == bool(rule)


def test_advice_on_a_shape_depends_on_where_the_calls_are() -> None:
    one, two = {"tensors": [[[1], "f"]]}, {"tensors": [[[2], "f"]]}

    def said(path: str) -> str:
        ranks = rank(0, (*CALL, one)), rank(1, ("all_reduce", WORLD, (path, 8), DONE, two))
        found = compare(Trace(dict(enumerate(ranks))), over=True)
        assert found is not None
        return explain.text(found)

    size = "give the tensor the same number of elements on every rank"
    assert f"what to change: {size}" in said("train.py")
    assert f"if these two calls belong together, {size}" in said("serve.py")


def test_both_orders_of_two_groups_are_named() -> None:
    ranks = running(0, ("barrier", ONE, 10, WAITS)), running(1, ("barrier", TWO, 11, WAITS))
    found = compare(Trace(dict(enumerate(ranks))), over=True)
    assert found is not None
    one, two = (
        "group `one` {0,1} (the 2nd group of exactly these ranks)",
        "group `two` {0,1} (the 3rd group of exactly these ranks)",
    )
    assert found.notes == (f"rank 0 uses {one} before {two}, rank 1 uses {two} before {one}",)


# -------------------------------------------------------------------------------------------------------- timeouts


def _timed_out(*others: Rank, failed: float = 9.0) -> tuple[str, Any]:
    first = rank(0, CALL, ("barrier", WORLD, 10, FAILED), end="raised", ending=ending("timeout", failed))
    found = compare(Trace({rank.rank: rank for rank in (first, *others)}), over=True)
    return (found.verdict if found is not None else "", found)


@pytest.mark.parametrize(
    ("other", "verdict"),
    [
        # Ended by the launcher, or nobody knows by what; it fails later; it comes too late.
        (running(1, CALL, exit=Exit(-15, "SIGTERM", 9.5)), "timeout"),
        (running(1, CALL), "timeout"),
        (rank(1, CALL, end="raised", ending=ending("own", 11.0)), "timeout"),
        (rank(1, CALL, ("barrier", WORLD, 10, FAILED), end="raised", ending=ending("connection", 11.0)), "timeout"),
        # It has ended before, on its own.
        (rank(1, CALL), "deadlock"),
        (rank(1, CALL, end="raised", ending=ending("own", 5.0)), "deadlock"),
        (running(1, CALL, exit=Exit(-11, "", 9.5)), "deadlock"),
        # It waits elsewhere, in vain.
        (running(1, CALL, ("barrier", ONE, 20, WAITS), exit=Exit(-15, "SIGTERM", 9.5)), "deadlock"),
    ],
)
def test_a_rank_is_slow_unless_it_had_ended(other: Rank, verdict: str) -> None:
    assert _timed_out(other)[0] == verdict


def test_where_a_slow_rank_was() -> None:
    slow = running(1, CALL, exit=Exit(-15, "SIGTERM", 9.5), stack=("data.py:3 read: x()",), stack_time=7.0)
    _, found = _timed_out(slow)
    text = explain.text(found)
    assert "; rank 1 was slow, at data.py:3 read\n" in text
    assert "had not called it, 5.0 s into the wait it was here; then it was ended by its launcher (SIGTERM)" in text
    # An answer to a question of an earlier wait.
    _, found = _timed_out(replace(slow, stack_time=1.0))
    assert "data.py" not in explain.text(found)


def test_an_aborted_rank_has_waited_as_long_as_its_group_allows() -> None:
    """NCCL's watchdog aborts the process; an abort for another reason comes earlier."""
    slow = running(1, CALL, exit=Exit(-15, "SIGTERM", 13.5))
    for at, verdict in ((13.0, "timeout"), (5.0, None)):
        waits = running(0, CALL, BARRIER, exit=Exit(-6, "", at))
        found = compare(Trace({0: waits, 1: slow}), over=True)
        assert (found.verdict if found is not None else None) == verdict


def test_open_calls_on_two_groups_in_different_order() -> None:
    """Every rank has made both calls, and they do not end: where the device does one after the other, that is why."""
    calls = [("all_reduce", ONE, 10, ISSUED), ("all_reduce", TWO, 11, ISSUED)]
    ends = {"end": "raised", "ending": ending("timeout")}
    crossing = Trace({0: rank(0, *calls, **ends), 1: rank(1, *calls[::-1], **ends)})
    found = compare(crossing, over=True)
    assert found is not None
    assert (found.verdict, found.rule, len(found.notes)) == ("timeout", "CL206", 2)
    same = Trace({0: rank(0, *calls, **ends), 1: rank(1, *calls, **ends)})
    found = compare(same, over=True)
    assert found is not None
    assert (found.verdict, found.rule, found.notes) == ("timeout", "", ("every rank of the group had made the call",))
