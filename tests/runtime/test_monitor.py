"""What is decided while ranks are on their way, of traces written here: which of them comes when is the test's to say."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.beside.monitor import POLL, Monitor
from collectivelint.runtime.beside.watch import Watcher
from collectivelint.runtime.traces.model import State
from collectivelint.runtime.traces.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from collectivelint.runtime.verdict.model import Divergence


class Rank:
    """A rank whose calls the test makes; its process is this one."""

    def __init__(self, folder: Path, number: int, world_size: int = 3, job: str = "job") -> None:
        self.writer = Writer(
            folder,
            rank=number,
            world_size=world_size,
            attempt=0,
            started=time.time(),
            host=os.uname().nodename,
            local=world_size,
            job=job,
        )
        self._place = self.writer.name("place", {"path": "a.py", "line": number, "function": "f", "stack": []})
        self._calls: Counter[tuple[int, ...]] = Counter()
        self._rolled: dict[tuple[int, ...], int] = {}

    def call(self, *ranks: int, op: str = "all_reduce", reduce_op: str = "SUM", returns: bool = False) -> None:
        group = self.writer.name("group", {"ranks": ranks, "ordinal": 0, "description": ""})
        stream = self.writer.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
        known = {"op": op, "reduce_op": reduce_op, "tensors": [[[4], "float32"]]}
        signature = self.writer.name("signature", known)
        self._calls[ranks] += 1
        self._rolled[ranks] = hash((self._rolled.get(ranks, 0), op, reduce_op)) & 0xFFFFFFFF
        number = self.writer.add(
            0, group, self._calls[ranks], signature, self._place, -1, False, time.time(), 0, stream, self._rolled[ranks]
        )
        if returns:
            self.writer.end(number, State.DONE, time.time())


def _watched(folder: Path, between: Callable[[], None] = lambda: None, longest: float = 20.0) -> Divergence | None:
    monitor = Monitor(folder, 1e9, print)
    end = time.monotonic() + longest
    while time.monotonic() < end:
        between()
        if found := monitor.look():
            return found
        time.sleep(POLL)
    return None


def test_a_mismatch_hangs_more_than_the_ranks_that_made_it(tmp_path: Path) -> None:
    """While others are awaited, so that the minority can be told, what hangs because of it is no verdict of its own."""
    ranks = [Rank(tmp_path, number) for number in range(3)]
    for rank in ranks:
        rank.call(0, 1, 2, returns=True)
    ranks[0].call(0, 1, 2)
    ranks[1].call(0, 1, 2, op="broadcast")
    ranks[2].call(0, 2)
    found = _watched(tmp_path)
    assert found is not None
    assert (found.verdict, found.what) == ("mismatch", "operation")


def test_a_rank_that_never_comes_hides_nothing(tmp_path: Path) -> None:
    """Two jobs, in each of which one rank of three stays away."""
    kept = []
    for job, before in (("one", 1), ("two", 2)):
        ranks = [Rank(tmp_path, number, job=job) for number in range(3)]
        for rank in ranks * before:
            rank.call(0, 1, 2, returns=True)
        ranks[0].call(0, 1, 2)
        ranks[1].call(0, 1, 2, op="broadcast")
        kept += ranks
    found = _watched(tmp_path)
    assert found is not None
    assert (found.verdict, found.what) == ("mismatch", "operation")


def test_a_mismatch_that_never_hangs(tmp_path: Path) -> None:
    """It comes again with each call, and whenever somebody looks one rank is ahead."""
    ranks = [Rank(tmp_path, number) for number in range(3)]

    def steps(count: int) -> None:
        for _ in range(count):
            for rank, reduce_op in ((1, "SUM"), (2, "MAX"), (0, "SUM")):
                ranks[rank].call(0, 1, 2, reduce_op=reduce_op, returns=True)

    # More than is compared.
    steps(5000)
    ranks[0].call(0, 1, 2, returns=True)
    found = _watched(tmp_path, lambda: steps(50))
    assert found is not None
    assert (found.verdict, found.what) == ("mismatch", "reduce operation")


@pytest.mark.parametrize(
    ("error", "verdict"),
    [("KeyboardInterrupt: ", None), ("", None), ("ValueError: no such file", "deadlock")],
)
def test_who_was_told_to_leave_has_not_failed(tmp_path: Path, error: str, verdict: str | None) -> None:
    """Of a job that was told to end: a rank that left is no reason, unless an exception of its own had thrown it out."""
    ranks = [Rank(tmp_path, number, world_size=2) for number in range(2)]
    for rank in ranks:
        rank.call(0, 1, returns=True)
    ranks[1].call(0, 1)
    ranks[0].writer.finish("raised" if error else "finished", error)
    watcher = Watcher(tmp_path, lambda _: None, 1e9)
    (judged,) = watcher.conclude(lambda _: True)
    assert (judged.divergence.verdict if judged.divergence else None) == verdict
