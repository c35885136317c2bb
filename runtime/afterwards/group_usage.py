"""Use of process groups: members that never call on their group, and the groups that the configuration expects."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from collectivelint.printable import one_line

from ..quantities import ranks_text
from ..traces.model import Numbering

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from ..traces.model import Group, Trace

#: What configuration calls the group that `init_process_group` makes.
DEFAULT: Final = "default"
_DEFAULT_PG: Final = "default_pg"


@dataclass(frozen=True, slots=True)
class Use:
    """A group of the job: how many calls its members made on it, and which members.

    `absent`: traced members that never called on it although others did; `destroyed`: members that destroyed it.
    """

    group: Group
    calls: int
    users: tuple[int, ...]
    absent: tuple[int, ...]
    destroyed: tuple[int, ...]

    def __str__(self) -> str:
        """The ranks that used it, in a few words: `all`, `rank 0; no call by ranks 1-3`."""
        if not self.users:
            return "no rank"
        return f"{ranks_text(self.users)}; no call by {ranks_text(self.absent)}" if self.absent else "all"


def uses(trace: Trace) -> list[Use]:
    """Every group that a traced rank is in, the most calls first. Creating a group does not count as a call on it."""
    number = Numbering()
    groups: dict[int, Group] = {}
    calls: defaultdict[int, defaultdict[int, int]] = defaultdict(lambda: defaultdict(int))
    destroyed: defaultdict[int, list[int]] = defaultdict(list)
    for rank in trace.ranks.values():
        for group in rank.groups:
            groups.setdefault(number(group.key), group)
        for event in rank.events:
            groups.setdefault(number(event.group.key), event.group)
        for (key, kind), counted in rank.streams.items():
            if kind not in ("create", "outsider"):
                calls[number(key)][rank.rank] += counted.calls
        for (key, *_), counted in rank.peers.items():
            calls[number(key)][rank.rank] += counted.calls
        for key in rank.destroyed:
            destroyed[number(key)].append(rank.rank)
    found = []
    ends = {rank.rank: rank.end for rank in trace.ranks.values()}
    for known, group in groups.items():
        users = tuple(sorted(rank for rank, count in calls[known].items() if count))
        absent = absent_of(group, users, ends)
        found.append(Use(group, sum(calls[known].values()), users, absent, tuple(sorted(destroyed[known]))))
    return by_calls(found)


def absent_of(group: Group, users: Collection[int], ends: Mapping[int, str]) -> tuple[int, ...]:
    """The members of a group that never called on it although others did. `ends`: how each traced rank ended."""
    known = frozenset(users)
    return tuple(
        rank for rank in group.ranks if known and rank not in known and ends.get(rank, "untraced") != "untraced"
    )


def by_calls(found: Iterable[Use]) -> list[Use]:
    """The uses sorted by calls, the most first."""
    return sorted(found, key=lambda use: (-use.calls, use.group.ranks))


def text(found: list[Use]) -> Iterator[str]:
    """A text table of the groups."""
    yield f"{'calls':>7}  {'used by':<32} group"
    for use in found:
        yield one_line(f"{use.calls:>7}  {use!s:<32} {use.group}")


def as_dicts(found: list[Use]) -> list[dict[str, object]]:
    """As plain data."""
    return [
        {
            "ranks": list(use.group.ranks),
            "description": use.group.description,
            "ordinal": use.group.ordinal,
            "calls": use.calls,
            "used_by": list(use.users),
            "destroyed_by": list(use.destroyed),
        }
        for use in found
    ]


def unexpected(found: list[Use], expected: Mapping[str, Collection[str]]) -> Iterator[str]:
    """How the groups of a job differ from the configured ones, one sentence each.

    `expected`: for each description, the members of every group with that description, such as `0-2,5`.
    """
    for name, specs in expected.items():
        wanted = [_ranks(spec) for spec in specs]
        named = [use for use in found if use.group.description == (_DEFAULT_PG if name == DEFAULT else name)]
        for use in named:
            if use.group.ranks not in wanted:
                yield f"group `{name}` has {ranks_text(use.group.ranks)}, expected {_either(wanted)}"
            elif use.absent:
                yield f"{ranks_text(use.absent)} never called on group `{name}` of {ranks_text(use.group.ranks)}"
        used = {use.group.ranks for use in named if use.calls}
        for ranks in wanted:
            if ranks not in used:
                there = any(use.group.ranks == ranks for use in named)
                yield f"group `{name}` of {ranks_text(ranks)} was {'never used' if there else 'not made'}"


def _ranks(spec: str) -> tuple[int, ...]:
    """The ranks of `0-2,5`."""
    found: set[int] = set()
    for part in spec.split(","):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def _either(wanted: Collection[tuple[int, ...]]) -> str:
    return " or ".join(map(ranks_text, wanted))
