"""The checker with 10,000 ranks: its time, the store's traffic, its memory.

`python benchmarks/scale.py [--ranks 10000] [--per-host 8]`. The ranks are made up; the messages, the TCPStore they go
through, the thread that carries them and the graph of who waits for whom are the real ones. Every rank has three groups (all
ranks, its host, and its position on all hosts) and sits in a call; in the last round one of them sits in the wrong one.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from collectivelint.runtime.beside.host_link import Link
from collectivelint.runtime.beside.monitor import disagreements
from collectivelint.runtime.inside.carrier import Carrier
from collectivelint.runtime.traces.messages import decode
from collectivelint.runtime.traces.model import Counted, Event, Group, Numbering, Place, Rank, State, Trace
from collectivelint.runtime.verdict import wait_graph


@cache
def group_of(first: int, behind: int, step: int) -> Group:
    """Ranks at equal distances."""
    return Group(tuple(range(first, behind, step)), 0, "sub")


def made_up(number: int, ranks: int, per_host: int, calls: int, world: Group) -> Rank:
    """A rank that has made so many calls on each of its groups and waits in one of the default group."""
    host, position = divmod(number, per_host)
    near, far = group_of(host * per_host, (host + 1) * per_host, 1), group_of(position, ranks, per_host)
    place = Place("train.py", 118, "step", ("train.py:118 step: dist.all_reduce(loss)", "train.py:200 main: step()"))
    signature = {"op": "all_reduce", "reduce_op": "SUM", "tensors": [[[1024], "torch.float32"]]}
    event = Event(
        number, calls, "collective", "all_reduce", world, calls, -1, signature, False, State.ENTERED, 1.0, 0.0, place
    )
    streams = {(group.key, "collective"): Counted(calls, 77, 5) for group in (world, near, far)}
    return Rank(number, ranks, number, f"host{host}", 0, 0.0, "running", "", (event,), alive=True, streams=streams)


def main() -> None:
    """Send all hosts' messages through a store, fetch them, and judge."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, default=10_000)
    parser.add_argument("--per-host", type=int, default=8)
    options = parser.parse_args()
    ranks, per_host = options.ranks, options.per_host
    distributed = torch.distributed
    store = distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    world = Group(tuple(range(ranks)), 0, "default_pg")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        leaders = range(0, ranks, per_host)
        size = 0
        carriers = {}
        for calls in (1000, 1001):
            sent = 0.0
            for leader in leaders:
                heads = [made_up(leader + local, ranks, per_host, calls, world) for local in range(per_host)]
                start = time.perf_counter()
                Link(folder, leader).send(heads)
                carrier = carriers.setdefault(leader, Carrier(folder, leader, 0))
                carrier._store = carrier._store or distributed.PrefixStore("collectivelint/0", store)
                if leader:
                    carrier.carry()
                sent += time.perf_counter() - start
            size = sum((folder / f"link-{leader}-0.out").stat().st_size for leader in leaders)
            start = time.perf_counter()
            carriers[0].carry()
            fetched = time.perf_counter() - start
            print(
                f"round {calls - 999}: {len(leaders)} hosts, {size / 1e6:.1f} MB ({size / ranks:.0f} B a rank); "
                f"a host sends for {sent / len(leaders) * 1e3:.1f} ms, rank 0's thread fetched for {fetched:.2f} s"
            )
        start = time.perf_counter()
        others = {rank.rank: rank for message in Link(folder, 0).received() for rank in decode(message["ranks"])}
        decoded = time.perf_counter() - start
        here = {number: made_up(number, ranks, per_host, 1001, world) for number in range(per_host)}
        heads = Trace({**here, **others})
        assert len(heads.ranks) == ranks
        start = time.perf_counter()
        assert not list(disagreements(heads, Numbering()))
        compared = time.perf_counter() - start
        start = time.perf_counter()
        assert not wait_graph.Waits(heads, over=False).doomed
        judged = time.perf_counter() - start
        # The last rank leaves the call out and waits for its host instead.
        last = heads.ranks[ranks - 1]
        near = next(key for key, _ in last.streams if len(key[0]) == per_host)
        group = Group(near[0], near[1], "near")
        event = replace(last.events[0], group=group, sequence=1002)
        streams = {**last.streams, ((world.key), "collective"): Counted(1000, 3, 5)}
        wrong = Trace({**heads.ranks, ranks - 1: replace(last, events=(event,), streams=streams)})
        start = time.perf_counter()
        found = wait_graph.deadlock(wrong, over=False, now=2.0)
        proved = time.perf_counter() - start
        assert found is not None
        assert sum(len(side.ranks) for side in found.sides) == ranks
        print(f"checker: decode {decoded:.2f} s, compare hashes {compared:.3f} s, who waits for whom {judged:.2f} s")
        print(f"a deadlock of all ranks proved in {proved:.2f} s")
        print(
            f"memory of this process, torch included: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB"
        )


if __name__ == "__main__":
    main()
