"""Where a program makes process groups, and which ranks are in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from ...ir.nodes import Span

#: "all": every rank of the job is in the group. "each": every rank is in one of the groups that are made here, or nothing
#: says that one is not. "some": the program chooses ranks, and the others are in no group that is made here.
Members: TypeAlias = Literal["all", "each", "some"]


@dataclass(frozen=True, slots=True)
class Making:
    """A call that makes groups; `lists`: of ranks that are given to it."""

    op: str
    path: str
    span: Span
    lists: bool
    members: Members
