"""The results of comparing ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from ..quantities import ranks_text

if TYPE_CHECKING:
    from ..traces.model import Activity, Event, Group

#: "mismatch": different calls meet; "deadlock": ranks wait for a call that some ranks will never reach; "timeout": a call took longer than
#: its group allows, since some rank was slow; "order": groups are created in different order; "unmatched": calls that other
#: ranks never made although the job ended; "outsider": a call by a rank that is not in the group.
Verdict: TypeAlias = Literal["mismatch", "deadlock", "timeout", "order", "unmatched", "outsider"]


@dataclass(frozen=True, slots=True)
class Side:
    """What some ranks do: the event they are in or made, or how they ended.

    `stack` is where they were if not in that event, innermost frame first: where an exception was raised, or where they
    were when last asked, and `activity` what they did there. `is_consequence`: they ended because of what another side
    did.
    """

    ranks: tuple[int, ...]
    event: Event | None
    state: str
    stack: tuple[str, ...] = ()
    is_consequence: bool = False
    activity: Activity | None = None


@dataclass(frozen=True, slots=True)
class Skipped:
    """Calls that `ranks` left out.

    `events`: the calls, as other ranks made them or as all ranks did before; `instead`: what these ranks called.
    `shown`: the evidence in the order of calls, "in the calls before" or "on ranks 0-1".
    """

    ranks: tuple[int, ...]
    events: tuple[Event, ...]
    instead: Event
    shown: str

    def __str__(self) -> str:
        """`rank 2 skipped all_reduce at train.py:11`."""
        first, last = self.events[0], self.events[-1]
        calls = at(first) if len(self.events) == 1 else f"{len(self.events)} calls, {at(first)} to {at(last)}"
        return f"{ranks_text(self.ranks)} skipped {calls}"


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first divergence of a job. `sides`: the ranks that wait (or the majority) first, consequences last.

    `rule` is the linter's rule for the pattern, "" if none matches; `notes`: further evidence for the explanation.
    `skipped`: the calls that one side left out, None if the trace does not show any.
    """

    verdict: Verdict
    group: Group
    sequence: int
    what: str
    sides: tuple[Side, ...]
    waited: float
    rule: str = ""
    notes: tuple[str, ...] = ()
    skipped: Skipped | None = None

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of all sides."""
        return tuple(rank for side in self.sides for rank in side.ranks)


def at(event: Event) -> str:
    """`all_reduce at train.py:13`."""
    return f"{event.op} at {event.place.path}:{event.place.line}"
