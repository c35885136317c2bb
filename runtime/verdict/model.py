"""What comparing the ranks can come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ..traces.model import Activity, Event, Group

#: "mismatch": different calls meet; "deadlock": ranks wait for a call that will not come; "timeout": a call took longer than
#: its group allows, since some rank was slow; "order": groups are created in different order; "unmatched": calls that other
#: ranks never made although the job ended; "outsider": a call by a rank that is not in the group.
Verdict: TypeAlias = Literal["mismatch", "deadlock", "timeout", "order", "unmatched", "outsider"]


@dataclass(frozen=True, slots=True)
class Side:
    """What some ranks do: the event they are in or made, or how they ended.

    `stack` is where they were instead of in that event, innermost frame first: where an exception was raised, or where they
    were when that was asked, and `activity` what they did there. `is_consequence`: they ended because of what another side did.
    """

    ranks: tuple[int, ...]
    event: Event | None
    state: str
    stack: tuple[str, ...] = ()
    is_consequence: bool = False
    activity: Activity | None = None


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first divergence of a job. `sides`: the ranks that wait (or the majority) first, consequences last.

    `rule` is the linter's rule for the pattern, "" where none fits; `notes` say what else the explanation rests on.
    """

    verdict: Verdict
    group: Group
    sequence: int
    what: str
    sides: tuple[Side, ...]
    waited: float
    rule: str = ""
    notes: tuple[str, ...] = ()

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of all sides."""
        return tuple(rank for side in self.sides for rank in side.ranks)
