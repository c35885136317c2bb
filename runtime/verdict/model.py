"""What comparing the ranks can come to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ..traces.model import Event, Group

#: "mismatch": different calls meet; "deadlock": somebody waits for a call that will not come; "order": groups are
#: created in different order; "unmatched": calls nobody answered although the job ended; "outsider": a call by a rank
#: that is not in the group.
Verdict: TypeAlias = Literal["mismatch", "deadlock", "order", "unmatched", "outsider"]


@dataclass(frozen=True, slots=True)
class Side:
    """What some ranks do: the event they are in or made, or how they ended."""

    ranks: tuple[int, ...]
    event: Event | None
    state: str


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first divergence of a job. `sides`: the ranks that wait (or the majority) first."""

    verdict: Verdict
    group: Group
    sequence: int
    what: str
    sides: tuple[Side, ...]
    waited: float
    rule: str = ""

    @property
    def ranks(self) -> tuple[int, ...]:
        """The ranks of all sides."""
        return tuple(rank for side in self.sides for rank in side.ranks)
