"""The analysis behind `report` as relational expressions over the tables (docs/tables.md), for DuckDB and Spark.

The definitions, and the order of equal rows, are those of statistics.py, verdict/meetings.py and verdict/slow_ranks.py,
which work on a trace in memory. The functions only return ibis expressions; the engine computes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import ibis

from ...operations import SYNCHRONISING

#: A table of ibis. Its columns are attributes that no type checker knows.
Table: TypeAlias = Any
_CALL: Final = ("job", "group", "sequence")
#: A site with its operation and group.
PLACE: Final = ("job", "group", "op", "path", "line")
#: More than a rank has events: where a rank stands before all events of the next one.
_EVENTS: Final = 1 << 40


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables that the analysis reads."""

    ranks: Table
    groups: Table
    members: Table
    sites: Table
    events: Table


def clocks(tables: Tables) -> Table:
    """`job, rank, shift`: seconds by which each rank's clock is ahead of the lowest rank's host (see meetings.py)."""
    ranks, events = tables.ranks, tables.events
    lowest = ranks.group_by("job").agg(rank=ranks["rank"].min())
    reference = lowest.join(ranks, ["job", "rank"]).select("job", "rank", near=ranks.host)
    common = events.filter(
        (events.kind == "collective")
        & (events.state == "done")
        & ~events.is_async
        & events["op"].isin(sorted(SYNCHRONISING))
    ).select("job", "rank", "group", "sequence", end=events.end.fill_null(0.0))
    there = common.join(reference, ["job", "rank"]).select(*_CALL, there=common.end)
    hosts = ranks.join(reference.drop("rank"), "job")
    others = hosts.filter(hosts.host != hosts.near).select("job", "rank", "host")
    apart = common.join(others, ["job", "rank"]).join(there, list(_CALL))
    shifts = apart.group_by("job", "host").agg(shift=(apart.end - apart.there).median())
    shifted = ranks.left_join(shifts, ["job", "host"])
    return shifted.select("job", "rank", shift=shifted["shift"].fill_null(0.0))


def meetings(tables: Tables, clock: Table) -> Table:
    """A row for each collective that all ranks of its group made and ended.

    `last`: the rank that came last, with its event's `number`; `latest`: when, by the common clock; `late` and `skew`:
    as in meetings.py; `began` and `over`: the first start and the last end, by the ranks' own clocks; `ended`,
    `lowest`, `first`: the sort key of meetings.
    """
    events = tables.events
    made = events.filter(events.kind == "collective").join(clock, ["job", "rank"])
    came = made.select(
        *_CALL, "rank", "number", "start", "shift", at=made.start - made["shift"], done=made.state == "done",
        end=made.end.fill_null(0.0),
    )  # fmt: skip
    by_time = ibis.window(group_by=_CALL, order_by=[came.at.desc(), came["rank"].desc()])
    came = came.mutate(place=ibis.row_number().over(by_time))
    met = came.group_by(_CALL).agg(
        came=came.count(),
        done=came.done.all(),
        latest=came.at.max(),
        earliest=came.at.min(),
        second=came.at.max(where=came.place == 1),
        last=came["rank"].max(where=came.place == 0),
        number=came.number.max(where=came.place == 0),
        began=came.start.min(),
        over=came.end.max(),
        ended=(came.end - came["shift"]).argmin(came["rank"]),
        lowest=came["rank"].min(),
        first=came.number.argmin(came["rank"]),
    )
    size = tables.groups.select("job", "group", size=tables.groups.ranks.length())
    met = met.join(size, ["job", "group"])
    met = met.filter(met.done & (met["size"] > 1) & (met.came == met["size"]))
    return met.mutate(late=met.latest - met.second, skew=met.latest - met.earliest, kind=ibis.literal("collective"))


def calls_of_ranks(tables: Tables, clock: Table, met: Table) -> Table:
    """Calls, bytes and times of each rank by operation, group and site. `first` orders the rows by their first call."""
    events = tables.events
    known = met.select(*_CALL, "kind", "latest", "skew")
    timed = events.join(clock, ["job", "rank"]).left_join(known, [*_CALL, "kind"])
    taken = ibis.greatest(timed.end - timed.start, 0.0)
    waits = ibis.least(
        timed.latest - (timed.start - timed["shift"]), ibis.greatest(timed.end.fill_null(0.0) - timed.start, 0.0)
    )
    timed = timed.select(
        "job", "op", "group", "site", "rank", "number", "bytes",
        seconds=taken.fill_null(0.0),
        waited=ibis.ifelse(timed.is_async | timed.latest.isnull(), 0.0, waits),
        skew=timed["skew"].fill_null(0.0),
    )  # fmt: skip
    by_site = timed.group_by("job", "op", "group", "site", "rank").agg(
        calls=timed.count(), bytes=timed.bytes.sum(), seconds=timed.seconds.sum(), waited=timed.waited.sum(),
        skew=timed["skew"].max(), first=timed.number.min(),
    )  # fmt: skip
    placed = by_site.join(tables.sites.select("job", "site", "path", "line"), ["job", "site"])
    return placed.group_by(*PLACE, "rank").agg(
        calls=placed.calls.sum(), bytes=placed.bytes.sum(), seconds=placed.seconds.sum(), waited=placed.waited.sum(),
        skew=placed["skew"].max(), first=(placed["rank"].cast("int64") * _EVENTS + placed["first"]).min(),
    )  # fmt: skip


def calls(of_ranks: Table) -> Table:
    """The rows of the report: calls, bytes and times by operation, group and site."""
    return of_ranks.group_by(*PLACE).agg(
        ranks=of_ranks["rank"].collect(), calls=of_ranks.calls.sum(), bytes=of_ranks.bytes.sum(),
        seconds=of_ranks.seconds.sum(), waited=of_ranks.waited.sum(), skew=of_ranks["skew"].max(),
        first=of_ranks["first"].min(),
    )  # fmt: skip


def times(of_ranks: Table) -> Table:
    """`job, rank, seconds, waited`: time in calls, and how much of it the rank waited for other ranks."""
    return of_ranks.group_by("job", "rank").agg(seconds=of_ranks.seconds.sum(), waited=of_ranks.waited.sum())


def came_last(met: Table) -> Table:
    """`job, rank, last, late`: how often each rank came last, and its total delay."""
    return met.group_by("job", rank=met["last"]).agg(last=met.count(), late=met.late.sum())


def usage(tables: Tables) -> Table:
    """A row for each group: its calls, the ranks that made them, and those that destroyed it."""
    members = tables.members
    used = members.group_by("job", "group").agg(
        calls=members.calls.sum(),
        users=members["rank"].collect(where=members.calls > 0),
        destroyed=members["rank"].collect(where=members.destroyed),
    )
    return tables.groups.left_join(used, ["job", "group"]).select(
        "job", "group", "description", "ordinal", "ranks", "calls", "users", "destroyed"
    )
