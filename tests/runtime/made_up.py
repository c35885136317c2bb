"""A made-up job with all that the analysis of a run tells apart."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field

from collectivelint.runtime.traces.jobs import Job
from collectivelint.runtime.traces.model import Counted, Event, Group, Place, Rank, State, Trace

RANKS = 6
WORLD = Group(tuple(range(RANKS)), 0, "default_pg")
PAIRS = [Group((first, first + 1), 0, "pair") for first in range(0, RANKS, 2)]
AGAIN = Group((0, 1), 1, "")
UNUSED = Group((0, 5), 0, "")
PARTS = Group((2, 3, 4), 0, "undefined")
OPS = ("all_reduce", "all_reduce", "broadcast", "all_gather")
#: The clock of the second host is ahead. All times are exact in binary, so that ranks come at equal times too.
AHEAD = 128.0
SLOW, SINCE = 2, 40


@dataclass
class _Made:
    """What one rank has done by `now`."""

    rank: int
    now: float = 0.0
    events: list[Event] = field(default_factory=list)

    @property
    def clock(self) -> float:
        return 1000.0 + AHEAD * (self.rank >= 4)

    def call(self, kind: str, op: str, group: Group, sequence: int, end: float | None, **more: object) -> None:
        event = Event(
            self.rank, len(self.events) + 1, kind, op, group, sequence, more.pop("peer", -1),  # type: ignore[arg-type]
            more.pop("signature", {"op": op}), more.pop("is_async", False),  # type: ignore[arg-type]
            State.WAITING if end is None else State.DONE, self.clock + self.now,
            0.0 if end is None else self.clock + end, more.pop("place"), **more,  # type: ignore[arg-type]
        )  # fmt: skip
        self.events.append(event)


def job(calls: int = 160) -> Job:
    """Ranks on two hosts: one is slow at one place from some call on, some calls do not end, some that not all ranks have; groups are destroyed or never used."""
    draw = random.Random(7)
    made = [_Made(rank) for rank in range(RANKS)]
    counts: Counter[Group] = Counter()
    for call in range(calls):
        group = draw.choice([*PAIRS, AGAIN]) if call % 4 == 0 else WORLD
        counts[group] += 1
        members = [made[rank] for rank in group.ranks]
        for one in members:
            one.now += draw.randrange(8) / 1024
            # Once before it as well, which is not since when.
            if one.rank == SLOW and call % 4 == 1 and (call >= SINCE or call == 9):
                one.now += 0.375 if call % 8 == 1 else 0.25
        last = max(one.now for one in members)
        is_async = draw.random() < 0.2
        for one in members:
            over = call < calls - 2 or one.rank % 2
            one.call(
                "collective", OPS[call % 4], group, counts[group], last + 1 / 512 if over else None, is_async=is_async,
                place=Place(f"t{call % 4}.py", call % 8 + 1, "step", (f"t{call % 4}.py:{call % 8 + 1} step: call()",)),
                signature={"op": OPS[call % 4], "tensors": [[[call % 5, 3], "torch.float32"]]}, thread=7 * (call % 16 == 4),
            )  # fmt: skip
            one.now = one.now if is_async else last + 1 / 512
    place = Place("p2p.py", 1, "send")
    # A call that a member has left out, as far as is recorded, though it has ended for the others.
    for rank in (2, 4):
        made[rank].call("collective", "barrier", PARTS, 1, made[rank].now + rank, place=place)
    for rank, op in ((0, "send"), (1, "recv")):
        made[rank].call("p2p", op, WORLD, 1, made[rank].now + 0.5, peer=1 - rank, place=place)
    made[5].call("outsider", "all_reduce", PAIRS[0], 1, made[5].now + 1, place=place)
    made[3].call("create", "new_group", PARTS, 1, made[3].now + 1, place=place)
    groups = (WORLD, *PAIRS, AGAIN, PARTS, UNUSED)
    ends = {0: ("raised", "ValueError: x"), 3: ("running", ""), 5: ("untraced", "no room")}
    ranks = {
        one.rank: Rank(
            one.rank, RANKS, 100 + one.rank, f"host{one.rank // 4}", 0, 1000.0, *ends.get(one.rank, ("finished", "")),  # type: ignore[arg-type]
            tuple(one.events), lost=one.rank, groups=tuple(group for group in groups if one.rank in group.ranks),
            streams={
                (group.key, "collective"): Counted(count + one.rank, 1, 1)
                for group, count in counts.items()
                # Rank 1 has made no call on the second group of these ranks, as far as its streams say.
                if one.rank in group.ranks and not (one.rank == 1 and group is AGAIN)
            },
            peers={(WORLD.key, "send", 1, 0): Counted(1, 1, 1)} if one.rank == 0 else {},
            destroyed=frozenset([AGAIN.key]) if one.rank < 2 else frozenset(),
        )
        for one in made
    }  # fmt: skip
    return Job("", RANKS, 0, 1000.0, recorded=Trace(ranks))
