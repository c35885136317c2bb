"""Turns the results of the expressions of analysis.py into the records that reports show."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from ...traces.jobs import Job
from ...traces.model import Event, Group, Place, Rank, State, Trace
from ...verdict.slow_ranks import SlowRank
from ..group_usage import Use, absent_of, by_calls
from ..statistics import Head, Lateness, Numbers, Row
from . import analysis, arrivals, stragglers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .analysis import Table
    from .arrivals import Arrivals


#: Computes an expression once, under a name, for all that use it.
Keep: TypeAlias = "Callable[[str, Table], Table]"


@dataclass(frozen=True, slots=True)
class Analysed:
    """A job, its statistics and the usage of its groups. Its ranks have no events, calls of slow ranks no stacks.

    `arrivals`: when the ranks arrived at each collective, if asked for.
    """

    job: Job
    numbers: Numbers
    uses: list[Use]
    arrivals: Arrivals | None = None


def read(tables: Mapping[str, Table], keep: Keep, *, is_drawn: bool = False) -> list[Analysed]:
    """The analysis of each job, in the order of their starts. `is_drawn`: include the arrivals, for a page."""
    read = analysis.Tables(*(tables[name] for name in ("ranks", "groups", "members", "sites", "events")))
    clock = keep("clocks", analysis.clocks(read))
    met = keep("meetings", analysis.meetings(read, clock))
    of_ranks = keep("calls_of_ranks", analysis.calls_of_ranks(read, clock, met))
    heads = _by_job(read.ranks)
    groups = _by_job(analysis.usage(read))
    rows, times = _by_job(analysis.calls(of_ranks)), _by_job(analysis.times(of_ranks))
    last, slow = _by_job(analysis.came_last(met)), _by_job(stragglers.slow(read, met))
    found = []
    for row in sorted(_rows(tables["jobs"]), key=lambda row: row["job"]):
        number = row["job"]
        named = {group["group"]: _group(group) for group in groups[number]}
        heads[number].sort(key=lambda head: head["rank"])
        mine = [_head(head) for head in heads[number]]
        numbers = Numbers(
            mine,
            _calls(rows[number], named),
            _lateness([head.rank for head in mine], times[number], last[number]),
            [_slow(found, named) for found in sorted(slow[number], key=lambda slow: (-slow["late"], slow["ended"]))],
        )
        ends = {head.rank: head.end for head in mine}
        uses = by_calls(_use(group, named, ends) for group in sorted(groups[number], key=lambda group: group["group"]))
        ranks = Trace({head["rank"]: _rank(head, row["attempt"]) for head in heads[number]})
        job = Job(row["store"], row["world_size"], row["attempt"], row["started"], recorded=ranks)
        arrived = arrivals.read(met, clock, number, named) if is_drawn else None
        found.append(Analysed(job, numbers, uses, arrived))
    return found


def _rows(table: Table) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_pyarrow().to_pylist()
    return rows


def _by_job(table: Table) -> defaultdict[int, list[dict[str, Any]]]:
    found: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    for row in _rows(table):
        found[row["job"]].append(row)
    return found


def _head(row: Mapping[str, Any]) -> Head:
    return Head(
        row["rank"],
        row["world_size"],
        row["pid"],
        row["host"],
        row["end"],
        row["error"] or "",
        row["events"],
        row["lost"],
    )


def _rank(row: Mapping[str, Any], attempt: int) -> Rank:
    return Rank(
        row["rank"],
        row["world_size"],
        row["pid"],
        row["host"],
        attempt,
        row["started"],
        row["end"],
        row["error"] or "",
        (),
    )


def _group(row: Mapping[str, Any]) -> Group:
    return Group(tuple(row["ranks"]), row["ordinal"], row["description"])


def _use(row: Mapping[str, Any], named: Mapping[int, Group], ends: Mapping[int, str]) -> Use:
    group, users = named[row["group"]], tuple(sorted(row["users"] or ()))
    return Use(group, row["calls"] or 0, users, absent_of(group, users, ends), tuple(sorted(row["destroyed"] or ())))


def _calls(rows: list[dict[str, Any]], named: Mapping[int, Group]) -> dict[tuple[str, str, str], Row]:
    """The rows by operation, group and site, in the order of their first calls."""
    names = {number: str(group) for number, group in named.items()}
    found = {}
    for row in sorted(rows, key=lambda row: row["first"]):
        key = (row["op"], names[row["group"]], f"{row['path']}:{row['line']}")
        found[key] = Row(
            *key, set(row["ranks"]), row["calls"], int(row["bytes"]), row["seconds"], row["waited"], row["skew"]
        )
    return found


def _lateness(ranks: list[int], times: list[dict[str, Any]], last: list[dict[str, Any]]) -> dict[int, Lateness]:
    found = {rank: Lateness() for rank in ranks}
    for row in times:
        found[row["rank"]].seconds, found[row["rank"]].waited = row["seconds"], row["waited"]
    for row in last:
        found[row["rank"]].last, found[row["rank"]].late = row["last"], row["late"]
    return found


def _slow(row: Mapping[str, Any], named: Mapping[int, Group]) -> SlowRank:
    group = named[row["group"]]
    event = _event(row["last"], row["number"], row["op"], group, row["sequence"], row["path"], row["line"])
    before = None
    if row["before_op"] is not None:
        before = _event(row["last"], row["before"], row["before_op"], group, 0, row["before_path"], row["before_line"])
    return SlowRank(row["last"], event, row["calls"], row["times"], row["late"], row["since"] > 0, before)


def _event(rank: int, number: int, op: str, group: Group, sequence: int, path: str, line: int) -> Event:
    """An event with only those fields that a SlowRank shows."""
    return Event(
        rank, number, "collective", op, group, sequence, -1, {}, False, State.DONE, 0.0, 0.0, Place(path, line, "")
    )
