"""Comparing what ranks do on the two sides of a condition that differs between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Literal, TypeAlias

from .effects import MOST_ITEMS, Choice, Event, Guard, Leave, Repeat, continued, events, guards, size
from .values import WORLD

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Sequence

    from ..events import Span
    from .effects import Term


@dataclass(frozen=True, slots=True)
class Divergence:
    """A collective that ranks on one side of `guard` reach and those on the other do not.

    `where`: "arm" if the collective stands in an arm of the condition, "exit" if an arm leaves before it. `holds` says
    whether the ranks for which the condition holds are the ones that reach it; `more` counts further collectives that
    the same call leads to.
    """

    guard: Guard
    event: Event
    where: Literal["arm", "exit"]
    holds: bool
    more: int


#: Where a collective stands: "outside" all arms of the condition, in one of this function's own ("arm", and "deep" if
#: there is yet another condition to pass), or in one of a function it calls, which has been judged there ("foreign").
_Where: TypeAlias = Literal["outside", "arm", "deep", "foreign"]


@dataclass(frozen=True, slots=True)
class _Seen:
    """A piece of a projected term: one collective, or a loop or undecided choice with the collectives inside."""

    token: Hashable
    events: tuple[tuple[Event, _Where], ...]


_Exit: TypeAlias = Literal["return", "raise", "break", "continue"] | None


def divergences(term: Term, *, lists_of_ranks: bool) -> Iterator[Divergence]:
    """All divergences in a function's term, each call or collective once.

    `lists_of_ranks` says that the program makes groups of chosen ranks somewhere: then a group we cannot trace may be
    one that the ranks outside the branch do not belong to.
    """
    judged: dict[str, Guard] = {}
    for guard in guards(term):
        if guard.own and guard.varies:
            judged.setdefault(guard.form, guard)
    groups = list(dict.fromkeys(event.group for event in events(term)))
    reported: set[tuple[int, int]] = set()
    for form, guard in judged.items():
        for group in groups:
            for divergence in _of_group(term, form, guard, group, lists_of_ranks):
                place, _ = divergence.event.place
                if (place.line, place.column) not in reported:
                    reported.add((place.line, place.column))
                    yield divergence


def _of_group(term: Term, form: str, guard: Guard, group: str, lists_of_ranks: bool) -> Iterator[Divergence]:
    alone = _only(term, group)
    holding, left = _project(alone, form, holds=True, where="outside")
    other, left_other = _project(alone, form, holds=False, where="outside")
    if "raise" in (left, left_other):
        # An uncaught exception ends the job on every rank: the launcher stops the others.
        return
    if _same_to_the_end(alone, form):
        return
    for mine, theirs, holds in ((holding, other, True), (other, holding, False)):
        missing = _missing(mine, theirs)
        if any(event.init for event, _ in missing):
            # These ranks make a default group of their own; it has nothing to do with the others.
            continue
        first: dict[Span, tuple[Event, _Where]] = {}
        count: Counter[Span] = Counter()
        for event, where in missing:
            place, _ = event.place
            first.setdefault(place, (event, where))
            count[place] += 1
        everything, _ = _project(term, form, holds=not holds, where="outside")
        roles = any(where != "outside" for seen in everything for _, where in seen.events)
        for place, (event, where) in first.items():
            if where == "foreign" or (where == "deep" and guard.maybe):
                # Two conditions of the configuration may well exclude each other.
                continue
            if _meets(guard, event, holds=holds, roles=roles, lists_of_ranks=lists_of_ranks):
                yield Divergence(guard, event, "exit" if where == "outside" else "arm", holds, count[place] - 1)


def _same_to_the_end(term: Term, form: str) -> bool:
    """Do both sides make the same calls once what follows early returns is taken into the arms that get there?"""
    if size(term) > MOST_ITEMS:
        return False
    whole = continued(term)
    one, _ = _project(whole, form, holds=True, where="arm")
    two, _ = _project(whole, form, holds=False, where="arm")
    return _tokens(one) == _tokens(two)


def _meets(guard: Guard, event: Event, *, holds: bool, roles: bool, lists_of_ranks: bool) -> bool:
    """Do ranks of one and the same group stand on both sides of the condition?

    `roles`: the ranks on the other side have collectives of their own in their arm.
    """
    if event.group == WORLD or event.group in guard.varies:
        return True
    if WORLD not in guard.varies:
        return False
    # A global rank decides about a sub-group. With exactly one rank on this side its group is surely split, if it has
    # more members; but with collectives on both sides the branch gives roles to ranks, each with groups of their own.
    alone = guard.one is holds
    return alone and not roles and not event.partial and not lists_of_ranks


def _only(term: Term, group: str) -> Term:
    """The term restricted to one group; exits stay."""
    kept: list[Event | Choice | Repeat | Leave] = []
    for item in term:
        match item:
            case Event():
                if item.group == group:
                    kept.append(item)
            case Choice(guard=guard, then=then, orelse=orelse):
                kept.append(Choice(guard, _only(then, group), _only(orelse, group)))
            case Repeat(form=form, body=body):
                kept.append(Repeat(form, _only(body, group)))
            case _:
                kept.append(item)
    return tuple(kept)


def _project(term: Term, form: str, *, holds: bool, where: _Where) -> tuple[list[_Seen], _Exit]:
    """What a rank does for which condition `form` holds (or does not), and how it leaves the term."""
    seen: list[_Seen] = []
    for item in term:
        match item:
            case Event():
                # The same statement on both sides is the same call; only what stands in arms has to be matched up.
                token: Hashable = (*item.token, id(item)) if where == "outside" else item.token
                seen.append(_Seen(token, ((item, where),)))
            case Choice(guard=guard, then=then, orelse=orelse) if guard.form == form:
                arm: _Where = "arm" if guard.own else "foreign"
                part, left = _project(then if holds else orelse, form, holds=holds, where=arm)
                seen += part
                if left:
                    return seen, left
            case Choice(guard=guard, then=then, orelse=orelse):
                inner: _Where = "deep" if where == "arm" else where
                one, left_one = _project(then, form, holds=holds, where=inner)
                two, left_two = _project(orelse, form, holds=holds, where=inner)
                if left_one == "raise" and not one:
                    seen += two
                    if left_two:
                        return seen, left_two
                elif (left_two == "raise" and not two) or (_tokens(one) == _tokens(two) and left_one == left_two):
                    seen += one
                    if left_one:
                        return seen, left_one
                else:
                    token = ("choice", guard.form, _tokens(one), left_one, _tokens(two), left_two)
                    seen.append(_Seen(token, _events((*one, *two))))
            case Repeat(form=loop, body=body):
                part, left = _project(body, form, holds=holds, where=where)
                if part or left in ("break", "return"):
                    seen.append(_Seen(("loop", loop, _tokens(part), left), _events(part)))
            case Leave(kind=kind):
                return seen, kind
    return seen, None


def _tokens(seen: Sequence[_Seen]) -> tuple[Hashable, ...]:
    return tuple(item.token for item in seen)


def _events(seen: Sequence[_Seen]) -> tuple[tuple[Event, _Where], ...]:
    return tuple(pair for item in seen for pair in item.events)


def _missing(mine: Sequence[_Seen], theirs: Sequence[_Seen]) -> list[tuple[Event, _Where]]:
    """Collectives of `mine` that have no counterpart in `theirs`.

    The sequences are aligned first; within what does not align, equal collectives in another structure (a loop on one
    side, the same calls unrolled on the other) are given the benefit of the doubt.
    """
    matcher = SequenceMatcher(None, _tokens(mine), _tokens(theirs), autojunk=False)
    left: list[tuple[Event, _Where]] = []
    right: Counter[tuple[str, str]] = Counter()
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag != "equal":
            left += _events(mine[start:end])
            right.update(event.token for event, _ in _events(theirs[other_start:other_end]))
    unmatched: list[tuple[Event, _Where]] = []
    for event, where in left:
        if right[event.token] > 0:
            right[event.token] -= 1
        else:
            unmatched.append((event, where))
    return unmatched
