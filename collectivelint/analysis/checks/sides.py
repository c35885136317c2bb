"""The terms of the ranks on either side of a condition, restricted to one group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record
from ..domain.normalise import MOST_ITEMS, continued, tidy
from ..effects import Choice, Event, Leave, Repeat, decided_by, exits, map_term, parts, size
from .alignment import raises

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.symbol import Symbol
    from ..effects import Item, Term


class Restricted(Record):
    """The term of a function restricted to one group, and the positions of the conditions in it.

    `above`: id of an item -> the choices and loops that contain it; `judged`: symbol -> the choices and loops that the
    condition decides.
    """

    __slots__ = ("above", "alone", "judged", "whole")

    def __init__(
        self, alone: Term, whole: Term, above: Mapping[int, list[Item]], judged: Mapping[Symbol, list[Item]]
    ) -> None:
        self.alone: Final = alone
        self.whole: Final = whole
        self.above: Final = above
        self.judged: Final = judged

    def _fields(self) -> tuple[object, ...]:
        return (self.alone, self.whole, self.above, self.judged)

    @classmethod
    def to(cls, term: Term, *groups: Symbol) -> Restricted:
        """Restrict a term to a group, or to several."""
        alone = _surviving(_only(term, groups))
        # A rank that has passed an exit knows what that says of the conditions behind it.
        whole = tidy(
            map_term(continued(alone) if size(alone) <= MOST_ITEMS else alone, lambda item: (item,), finish=_fused)
        )
        above: dict[int, list[Item]] = {}
        judged: dict[Symbol, list[Item]] = {}
        pending: list[tuple[Term, Item | None]] = [(whole, None)]
        while pending:
            items, owner = pending.pop()
            for item in items:
                known = id(item) in above
                above.setdefault(id(item), []).extend(() if owner is None else (owner,))
                if known:
                    continue
                pending += [(part, item) for part in parts(item)]
                guard = decided_by(item)
                if guard is not None:
                    judged.setdefault(guard.symbol, []).append(item)
        return cls(alone, whole, above, judged)

    def sides(self, symbol: Symbol) -> dict[bool, Term]:
        """The terms of ranks for which the condition is true and false; items without the condition are shared.

        Another condition that follows from this one stays a choice: if it differs between ranks, it is judged by
        itself.
        """
        touched: set[int] = set()
        pending = list(self.judged.get(symbol, ()))
        while pending:
            item = pending.pop()
            if id(item) not in touched:
                touched.add(id(item))
                pending += self.above[id(item)]
        return {holds: _side(self.whole, symbol, touched, holds=holds) for holds in (True, False)}


def _only(term: Term, groups: tuple[Symbol, ...]) -> Term:
    """The term restricted to some groups; exits stay."""

    def kept(item: Item) -> Term:
        match item:
            case Event():
                return (item,) if item.group in groups else ()
            case Choice(then=then, orelse=orelse):
                return (item,) if then or orelse else ()
            case Repeat(symbol=symbol, body=body, trips=trips):
                return (Repeat(symbol, body, trips),) if body else ()
            case Leave():
                return (item,)
            case _:
                return ()

    return map_term(term, kept)


def _surviving(term: Term) -> Term:
    """The term of ranks that do not raise: a rank that raises ends the whole job."""

    def survived(item: Item) -> Term:
        if not isinstance(item, Choice):
            return (item,)
        if raises(item.then):
            return item.orelse
        if raises(item.orelse):
            return item.then
        return (item,) if item.then or item.orelse else ()

    return map_term(term, survived, finish=_until_exit)


def _side(term: Term, symbol: Symbol, touched: set[int], *, holds: bool) -> Term:
    """The term of a rank for which condition `symbol` is true (or false).

    `touched` are the ids of the items that contain the condition.
    """

    def is_touched(item: Item) -> bool:
        return id(item) in touched

    def taken(item: Item) -> Term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse) if guard.symbol is symbol:
                return then if holds else orelse
            case Choice(then=then, orelse=orelse):
                return (item,) if then or orelse else ()
            case Repeat(trips=trips) if trips is not None and trips.symbol is symbol and not holds:
                return ()
            case Repeat(body=body):
                return (item,) if body else ()
            case _:
                return (item,)

    return map_term(term, taken, is_touched, _until_exit)


def _fused(term: Term) -> Term:
    """The term with adjacent choices on the same condition merged, if none of them leaves the enclosing block."""
    found: list[Item] = []
    for item in term:
        before = found[-1] if found else None
        if (
            isinstance(item, Choice)
            and isinstance(before, Choice)
            and item.guard.symbol is before.guard.symbol
            and not exits((before,))
        ):
            found[-1] = Choice(before.guard, _fused(before.then + item.then), _fused(before.orelse + item.orelse))
        else:
            found.append(item)
    return tuple(found)


def _until_exit(term: Term) -> Term:
    """The term up to where it always ends."""
    for position, item in enumerate(term):
        if isinstance(item, Leave):
            return term[: position + 1]
    return term
