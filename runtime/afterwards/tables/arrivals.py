"""When ranks arrived at the collectives of a job, as arrays: drawn on the page of a job of millions of calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...traces.columns import Calls, Column
    from ...traces.model import Group
    from .analysis import Table

#: More than any number of a call that a ring stores: the bits below that of its group.
_SEQUENCES: Final = 32


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The collectives that all ranks of their group made and ended.

    `groups`: the job's groups by the numbers that calls refer to, see columns.py; `shift`: seconds by which each rank's
    clock is ahead. `calls`, ascending: group and sequence of each in one number; `latest`: when the last rank arrived,
    in seconds of the common clock; `late`: seconds behind the one before it; `last` and `number`: that rank, and its
    event.
    """

    groups: list[Group]
    shift: dict[int, float]
    calls: Column
    latest: Column
    late: Column
    last: Column
    number: Column

    def waited(self, rank: int, calls: Calls) -> Column:
        """Seconds that a rank waited in each of its calls, see meetings.py; 0.0 for calls that are not in the table."""
        at, is_met = self._find(calls)
        # A rank does not wait in an asynchronous call.
        is_met &= ~calls["is_async"]
        waits = np.minimum(
            self.latest[at] - (calls["start"] - self.shift[rank]), np.maximum(0.0, calls["end"] - calls["start"])
        )
        return np.where(is_met, waits, 0.0)

    def came_last(self, rank: int, calls: Calls) -> tuple[Column, Column]:
        """For each call, whether the rank came last to it, and by how many seconds."""
        at, is_met = self._find(calls)
        is_last = is_met & (self.last[at] == rank) & (self.number[at] == calls["number"])
        return is_last, np.where(is_last, self.late[at], 0.0)

    def _find(self, calls: Calls) -> tuple[Column, Column]:
        """The index of each call in this table, and whether it is in the table at all."""
        wanted = calls["group"].astype(np.int64) << _SEQUENCES | calls["sequence"]
        at = np.minimum(np.searchsorted(self.calls, wanted), len(self.calls) - 1)
        return at, (self.calls[at] == wanted) & (calls["kind"] == 0)


def read(met: Table, clock: Table, job: int, named: Mapping[int, Group]) -> Arrivals:
    """The arrivals of a job. `met` and `clock`: see analysis.py; `named`: its groups by their numbers."""
    mine = met.filter(met.job == job)
    found = mine.select("group", "sequence", "latest", "late", "last", "number").to_pyarrow()
    # Before all others stands one that is no call's, so that there is always one to point at.
    columns = {name: np.concatenate([[-1], found[name].to_numpy()]) for name in found.column_names}
    calls = columns["group"].astype(np.int64) << _SEQUENCES | columns["sequence"].astype(np.int64)
    order = np.argsort(calls)
    shifts = clock.filter(clock.job == job).to_pyarrow().to_pylist()
    return Arrivals(
        [named[number] for number in sorted(named)],
        {row["rank"]: row["shift"] for row in shifts},
        calls[order],
        *(columns[name][order] for name in ("latest", "late", "last", "number")),
    )
