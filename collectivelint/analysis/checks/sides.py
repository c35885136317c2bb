"""What the ranks on either side of a condition do to one group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..effects import MOST_ITEMS, Choice, Event, Leave, Repeat, continued, size
from .alignment import raises

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.symbol import Symbol
    from ..effects import Item, Term


@dataclass(frozen=True, slots=True)
class Restricted:
    """What a function does to one group: its term with nothing else in it, and where the conditions stand in that.

    `above`: id of an item -> the choices and loops that have it as an item; `judged`: symbol -> the choices and loops that the
    condition decides.
    """

    alone: Term
    whole: Term
    above: Mapping[int, list[Item]]
    judged: Mapping[Symbol, list[Item]]

    @classmethod
    def to(cls, term: Term, group: Symbol) -> Restricted:
        """Restrict a term to a group."""
        alone = _surviving(_only(term, group))
        whole = _side(continued(alone) if size(alone) <= MOST_ITEMS else alone, None, frozenset(), holds=True)
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
                if isinstance(item, Choice):
                    judged.setdefault(item.guard.symbol, []).append(item)
                    pending += [(item.then, item), (item.orelse, item)]
                elif isinstance(item, Repeat):
                    pending.append((item.body, item))
                    if item.trips is not None:
                        judged.setdefault(item.trips.symbol, []).append(item)
        return cls(alone, whole, above, judged)

    def sides(self, symbol: Symbol) -> dict[bool, Term]:
        """What ranks do for which the condition holds, and what the others do. What it does not touch are the same items."""
        touched: set[int] = set()
        pending = list(self.judged.get(symbol, ()))
        while pending:
            item = pending.pop()
            if id(item) not in touched:
                touched.add(id(item))
                pending += self.above[id(item)]
        return {holds: _side(self.whole, symbol, touched, holds=holds) for holds in (True, False)}


def _only(term: Term, group: Symbol) -> Term:
    """The term restricted to one group; exits stay."""
    kept: list[Item] = []
    for item in term:
        match item:
            case Event():
                if item.group == group:
                    kept.append(item)
            case Choice(guard=guard, then=then, orelse=orelse):
                then, orelse = _only(then, group), _only(orelse, group)
                if then or orelse:
                    kept.append(Choice(guard, then, orelse))
            case Repeat(symbol=symbol, body=body, trips=trips):
                if body := _only(body, group):
                    kept.append(Repeat(symbol, body, trips))
            case Leave():
                kept.append(item)
    return tuple(kept)


def _surviving(term: Term) -> Term:
    """The term of ranks that do not end with an exception: who does takes the job along."""
    kept: list[Item] = []
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse):
                then, orelse = _surviving(then), _surviving(orelse)
                if raises(then):
                    kept += orelse
                elif raises(orelse):
                    kept += then
                elif then or orelse:
                    kept.append(Choice(guard, then, orelse))
            case Repeat(symbol=symbol, body=body, trips=trips):
                kept.append(Repeat(symbol, _surviving(body), trips))
            case _:
                kept.append(item)
        if kept and isinstance(kept[-1], Leave):
            break
    return tuple(kept)


def _side(term: Term, symbol: Symbol | None, touched: frozenset[int] | set[int], *, holds: bool) -> Term:
    """What a rank does for which condition `symbol` holds (or does not).

    `touched` are the ids of the items that the condition stands in. Without any, the term in its shortest symbol.
    """
    if symbol and touched.isdisjoint(map(id, term)):
        return term
    kept: list[Item] = []
    for item in term:
        match item:
            case Choice() | Repeat() if symbol and id(item) not in touched:
                kept.append(item)
            case Choice(guard=guard, then=then, orelse=orelse) if guard.symbol is symbol:
                kept.extend(_side(then if holds else orelse, symbol, touched, holds=holds))
            case Choice(guard=guard, then=then, orelse=orelse):
                one, two = _side(then, symbol, touched, holds=holds), _side(orelse, symbol, touched, holds=holds)
                if one or two:
                    kept.append(Choice(guard, one, two))
            case Repeat(trips=trips) if symbol and trips is not None and trips.symbol is symbol and not holds:
                continue
            case Repeat(symbol=loop, body=body, trips=trips):
                if inner := _side(body, symbol, touched, holds=holds):
                    kept.append(Repeat(loop, inner, trips))
            case _:
                kept.append(item)
        if kept and isinstance(kept[-1], Leave):
            break
    return tuple(kept)
