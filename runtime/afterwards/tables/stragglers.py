"""Slow ranks (see verdict/slow_ranks.py) as relational expressions over the collectives that analysis.py finds."""

from __future__ import annotations

import ibis

from ...verdict.slow_ranks import COST, DEVIATIONS, NOISE_S, SHARE
from .analysis import PLACE, Table, Tables


def slow(tables: Tables, met: Table) -> Table:
    """A row for each slow rank and group: onset, how often it came last, total delay; `latest`: its latest call."""
    chosen = _worst(_counted(_since(_placed(tables, met))))
    events = tables.events
    first = events.select("job", "rank", "number", "sequence")
    found = chosen.join(
        first, [chosen.job == first.job, chosen["last"] == first["rank"], chosen.number == first.number]
    )
    found = found.select(*chosen.columns, "sequence")
    return found.left_join(_before(tables, found), ["job", "group", "last"]).select(
        *found.columns, "before", "before_op", "before_path", "before_line"
    )


def _placed(tables: Tables, met: Table) -> Table:
    """The collectives numbered in order at each place of the last rank's call: `position` from 0, of `count`."""
    events, sites = tables.events, tables.sites.select("job", "site", "path", "line")
    last = events.select("job", "rank", "number", "op", "site", "thread").join(sites, ["job", "site"])
    made = met.join(last, [met.job == last.job, met["last"] == last["rank"], met.number == last.number])
    made = made.select(*met.columns, "op", "path", "line", "thread")
    order = ibis.window(group_by=PLACE, order_by=[made.ended, made.lowest, made["first"]])
    whole = ibis.window(group_by=PLACE)
    made = made.mutate(position=ibis.row_number().over(order), count=made.count().over(whole))
    return made.mutate(the_end=made["over"].max(where=made.position == made["count"] - 1).over(whole))


def _since(made: Table) -> Table:
    """The late calls of each rank at each place, from the onset that splits all calls best (see slow_ranks._onset).

    An onset at the i-th of `all` late calls (from 0), at `position` of `count`, puts 2 i + count - position - all calls
    on the wrong side; one behind all calls puts `all` there. Between two late calls the number only falls.
    """
    late = made.filter(made.late > NOISE_S)
    of_rank = [*PLACE, "last"]
    late = late.mutate(
        nth=ibis.row_number().over(ibis.window(group_by=of_rank, order_by=late.position)),
        all=late.count().over(ibis.window(group_by=of_rank)),
    )
    late = late.mutate(score=2 * late.nth - late.position)
    best = ibis.window(group_by=of_rank, order_by=[late.score, late.position])
    late = late.mutate(choice=ibis.row_number().over(best))
    onset = (late.choice == 0) & (late.score <= 2 * late["all"] - late["count"])
    whole = ibis.window(group_by=of_rank)
    late = late.mutate(
        since=late.position.max(where=onset).over(whole), first_began=late.began.max(where=onset).over(whole)
    )
    # Where there is no onset it is null, and the rows go.
    return late.filter(late.position >= late.since)


def _counted(late: Table) -> Table:
    """The ranks that came last often enough, and late enough, to be called slow."""
    worst = ibis.window(group_by=[*PLACE, "last"], order_by=[late.late.desc(), late.position])
    late = late.mutate(worst=ibis.row_number().over(worst))
    found = late.group_by(*PLACE, "last", "since", "count", "size", "first_began", "the_end").agg(
        times=late.count(),
        late=late.late.sum(),
        number=late.number.argmin(late.position),
        ended=late.ended.argmin(late.position),
        latest=late.number.max(where=late.worst == 0),
        thread=late.thread.max(where=late.worst == 0),
    )
    found = found.mutate(calls=found["count"] - found.since)
    expected = found.calls / found["size"]
    chance = (expected * (1 - 1 / found["size"])).sqrt()
    return found.filter(
        (found.times >= SHARE * found.calls)
        & (found.times - expected >= DEVIATIONS * chance)
        & (found.late >= COST * (found.the_end - found.first_began))
    )


def _worst(found: Table) -> Table:
    """For each rank and group the place with the largest total delay."""
    order = ibis.window(group_by=["job", "group", "last"], order_by=[found.late.desc(), found.ended])
    found = found.mutate(choice=ibis.row_number().over(order))
    return found.filter(found.choice == 0).drop("choice")


def _before(tables: Tables, found: Table) -> Table:
    """`job, group, last`, and the call before the rank's latest one on the same thread."""
    events = tables.events.select("job", "rank", "number", "thread", "op", "site")
    wanted = found.select("job", "group", "last", "latest", "thread")
    earlier = wanted.join(
        events,
        [
            wanted.job == events.job,
            wanted["last"] == events["rank"],
            wanted.thread == events.thread,
            wanted.latest > events.number,
        ],
    )
    earlier = earlier.select("job", "group", "last", "number", "op", "site")
    newest = earlier.group_by("job", "group", "last").agg(
        before=earlier.number.max(),
        before_op=earlier["op"].argmax(earlier.number),
        site=earlier.site.argmax(earlier.number),
    )
    sites = tables.sites.select("job", "site", before_path=tables.sites.path, before_line=tables.sites.line)
    return newest.join(sites, ["job", "site"]).drop("site")
