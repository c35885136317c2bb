"""The calls with which a program makes process groups, and the ranks in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...record import Record

if TYPE_CHECKING:
    from ...ir.nodes import Span

#: "all": every rank of the job is in the group. "each": every rank is in one of the groups that are made here, or nothing
#: says that one is not. "some": the program chooses ranks, and the others are in no group that is made here.
Members: TypeAlias = Literal["all", "each", "some"]


class Making(Record):
    """A call that makes groups; `lists`: from lists of ranks that it is passed."""

    __slots__ = ("lists", "members", "op", "path", "span")

    def __init__(self, op: str, path: str, span: Span, lists: bool, members: Members) -> None:
        self.op: Final = op
        self.path: Final = path
        self.span: Final = span
        self.lists: Final = lists
        self.members: Final = members

    def _fields(self) -> tuple[object, ...]:
        return (self.op, self.path, self.span, self.lists, self.members)
