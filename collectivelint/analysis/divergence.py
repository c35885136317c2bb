"""Comparing what ranks do on the two sides of a condition that differs between them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from .deciding import deciding
from .effects import MOST_ITEMS, Choice, Event, Guard, Leave, Repeat, continued, events, guards, size
from .values import WORLD

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from collectivelint.events import Span

    from .effects import Item, Term

#: Where a collective stands: in an "arm" of the condition, in a "loop" whose turns the condition counts, behind an arm
#: that leaves ("exit"), or on both sides but in another "order".
Where: TypeAlias = Literal["arm", "loop", "exit", "order"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """A collective that ranks on one side of `guard` reach and those on the other do not.

    `holds` says whether the ranks for which the condition holds are the ones that reach it; `more` counts further
    collectives that the same call leads to. Of "order", `other` is the collective the other side runs instead.
    """

    guard: Guard
    event: Event
    where: Where
    holds: bool
    more: int = 0
    other: Event | None = None

    @property
    def root(self) -> str:
        """What it comes from, unless it is a rank: findings of one root are repaired together.

        What a rank sees of its disk decides one branch; what it did there decides the next one, and so on through the
        program. Whoever shares the first decision has repaired the others.
        """
        causes = [cause for cause in self.guard.causes if cause.kind != "branch"]
        if not causes or any(cause.kind == "rank" for cause in causes):
            return ""
        return f"{causes[0].kind} {causes[0].path}:{causes[0].span.line}:{causes[0].span.column}"

    @property
    def derived(self) -> bool:
        """Does it depend on what was set under another condition?"""
        return any(cause.kind == "branch" for cause in self.guard.causes)

    @property
    def kinds(self) -> frozenset[str]:
        """Why the condition differs between ranks."""
        return frozenset(cause.kind for cause in self.guard.causes) - {"branch"}


#: A collective below more undecided conditions than this, after the one that differs, is as good as unreachable. One of many
#: overrides counts for more than one.
_DEEPEST: Final = 6

#: "outside" all arms of the condition, in one of this function's own ("arm", "loop", and "deep" if there is yet another
#: condition to pass), or in one of a function it calls, which has been judged there ("foreign").
_Place: TypeAlias = Literal["outside", "arm", "loop", "deep", "foreign"]


def divergences(term: Term, *, lists_of_ranks: bool) -> Iterator[Divergence]:
    """All divergences in a function's term, each call or collective once.

    `lists_of_ranks` says that the program makes groups of chosen ranks somewhere: then a group we cannot trace may be
    one that the ranks outside the branch do not belong to.
    """
    judged: dict[str, Guard] = {}
    for guard in guards(term):
        if guard.own and guard.varies:
            judged.setdefault(guard.form, guard)
    if not judged:
        return
    groups = list(dict.fromkeys(event.group for event in events(term)))
    reported: set[tuple[int, int]] = set()
    # A rank decides for sure, and the first one that does is what to repair. What else differs may happen to be the same
    # on all ranks: then the condition next to the collective says most.
    ranks = [guard for guard in judged.values() if any(cause.kind == "rank" for cause in guard.causes)]
    for guard in (*ranks, *(guard for guard in reversed(judged.values()) if guard not in ranks)):
        for group in groups:
            for divergence in _of_group(term, guard, group, lists_of_ranks):
                place, _ = divergence.event.place
                if (place.line, place.column) not in reported:
                    reported.add((place.line, place.column))
                    yield divergence


def _of_group(term: Term, guard: Guard, group: str, lists_of_ranks: bool) -> Iterator[Divergence]:
    alone = _surviving(_only(term, group))
    places: dict[int, _Place] = {}
    depths: dict[int, int] = {}
    _place(alone, guard.form, "outside", places, depths)
    whole = continued(alone) if size(alone) <= MOST_ITEMS else alone
    sides = {holds: _side(whole, guard.form, holds=holds) for holds in (True, False)}
    if any(_raises(side) for side in sides.values()):
        # An uncaught exception ends the job on every rank: the launcher stops the others.
        return
    if _tokens(sides[True], _plain) == _tokens(sides[False], _plain):
        return
    roles = {holds: _roles(term, guard.form, holds=not holds) for holds in (True, False)}
    found = False
    for holds in (True, False):
        missing = _missing(sides[holds], sides[not holds], places)
        if any(event.kind == "init" for event in missing):
            # These ranks make a default group of their own; it has nothing to do with the others.
            continue
        first: dict[Span, Event] = {}
        count: Counter[Span] = Counter()
        for event in missing:
            span, _ = event.place
            first.setdefault(span, event)
            count[span] += 1
        for span, event in first.items():
            found = True
            where = places.get(id(event), "outside")
            if where == "foreign" or (where == "deep" and guard.maybe):
                # Two conditions of the configuration may well exclude each other.
                continue
            depth = depths.get(id(event), 0)
            if depth > (0 if event.kind == "create" else _DEEPEST):
                # The same, the more conditions there are; and a group is mostly made once, where it is first needed.
                continue
            if _meets(guard, event, holds=holds, roles=roles[holds], lists_of_ranks=lists_of_ranks):
                shown: Where = "exit" if where == "outside" else "loop" if where == "loop" else "arm"
                yield Divergence(deciding(alone, guard, event), event, shown, holds, count[span] - 1)
    if not found:
        for disorder in _disorder(guard, sides[True], sides[False], lists_of_ranks):
            yield replace(disorder, guard=deciding(alone, guard, disorder.event))


def _disorder(guard: Guard, one: Term, two: Term, lists_of_ranks: bool) -> Iterator[Divergence]:
    """The same collectives on both sides, one after the other, but not in the same order."""
    mine, theirs = [_without_leaves(_merged(side, ())) for side in (one, two)]
    tokens, other_tokens = _tokens(mine, _plain), _tokens(theirs, _plain)
    if len(tokens) != len(mine) or Counter(tokens) != Counter(other_tokens):
        return
    for index, left in enumerate(mine):
        if tokens[index] != other_tokens[index]:
            event, other = next(events((left,)), None), next(events((theirs[index],)), None)
            if event is not None and other is not None and event.token != other.token:
                meets = _meets(guard, event, holds=True, roles=True, lists_of_ranks=lists_of_ranks)
                if meets:
                    yield Divergence(guard, event, "order", True, other=other)
            return


def _meets(guard: Guard, event: Event, *, holds: bool, roles: bool, lists_of_ranks: bool) -> bool:
    """Do ranks of one and the same group stand on both sides of the condition?

    `roles`: the ranks on the other side have collectives of their own in their arm.
    """
    if event.group == WORLD or event.group in guard.varies:
        return True
    if WORLD not in guard.varies:
        return False
    if not any(cause.kind in ("rank", "branch") for cause in guard.causes):
        # Clocks and disks know nothing of groups: any two ranks may differ.
        return True
    # A global rank decides about a sub-group. With exactly one rank on this side its group is surely split, if it has
    # more members; but with collectives on both sides the branch gives roles to ranks, each with groups of their own.
    alone = guard.one is holds
    return alone and not roles and not event.partial and not (lists_of_ranks and event.kind != "implicit")


def _only(term: Term, group: str) -> Term:
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
            case Repeat(form=form, body=body, trips=trips):
                if body := _only(body, group):
                    kept.append(Repeat(form, body, trips))
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
                if _raises(then):
                    kept += orelse
                elif _raises(orelse):
                    kept += then
                elif then or orelse:
                    kept.append(Choice(guard, then, orelse))
            case Repeat(form=form, body=body, trips=trips):
                kept.append(Repeat(form, _surviving(body), trips))
            case _:
                kept.append(item)
        if kept and isinstance(kept[-1], Leave):
            break
    return tuple(kept)


def _place(
    term: Term, form: str, where: _Place, places: dict[int, _Place], depths: dict[int, int], depth: int = 0
) -> None:
    """Note where each collective stands with regard to the condition, and below how many others."""
    for item in term:
        match item:
            case Event():
                # `if a or b:` has its body twice.
                if places.get(id(item), "outside") == "outside":
                    places[id(item)] = where
                    depths[id(item)] = depth
            case Choice(guard=guard, then=then, orelse=orelse):
                inner: _Place = "deep" if where == "arm" else where
                below = depth + (guard.ways - 1).bit_length()
                if guard.form == form:
                    inner = "arm" if guard.own else "foreign"
                    below = 0
                _place(then, form, inner, places, depths, below)
                _place(orelse, form, inner, places, depths, below)
            case Repeat(body=body, trips=trips):
                if trips is not None and trips.form == form:
                    _place(body, form, "loop" if trips.own else "foreign", places, depths)
                else:
                    _place(body, form, where, places, depths, depth)


def _roles(term: Term, form: str, *, holds: bool) -> bool:
    """Do the ranks on this side have collectives in their arm, on whatever group?"""
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse) if guard.form == form:
                if any(True for _ in events(then if holds else orelse)):
                    return True
            case Choice(then=then, orelse=orelse):
                if _roles(then, form, holds=holds) or _roles(orelse, form, holds=holds):
                    return True
            case Repeat(body=body):
                if _roles(body, form, holds=holds):
                    return True
    return False


def _side(term: Term, form: str, *, holds: bool) -> Term:
    """What a rank does for which condition `form` holds (or does not)."""
    kept: list[Item] = []
    for item in term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse) if guard.form == form:
                kept.extend(_side(then if holds else orelse, form, holds=holds))
            case Choice(guard=guard, then=then, orelse=orelse):
                one, two = _side(then, form, holds=holds), _side(orelse, form, holds=holds)
                if one or two:
                    kept.append(Choice(guard, one, two))
            case Repeat(trips=trips) if trips is not None and trips.form == form and not holds:
                continue
            case Repeat(form=loop, body=body, trips=trips):
                if inner := _side(body, form, holds=holds):
                    kept.append(Repeat(loop, inner, trips))
            case _:
                kept.append(item)
        if kept and isinstance(kept[-1], Leave):
            break
    return tuple(kept)


def _raises(term: Term) -> bool:
    """Does every way through the term end with an exception, or with a refusal?"""
    match term[-1] if term else None:
        case Leave(kind="raise") | Leave(refused=True):
            return True
        case Choice(then=then, orelse=orelse):
            return _raises(then) and _raises(orelse)
        case _:
            return False


_Key: TypeAlias = "Callable[[Item], Hashable]"


def _plain(item: Item) -> Hashable:
    """Where two ranks meet: the operation and its group."""
    return item.token if isinstance(item, Event) else item


def _tokens(term: Term, key: _Key) -> tuple[Hashable, ...]:
    found: list[Hashable] = []
    for item in term:
        match item:
            case Event():
                found.append(key(item))
            case Choice(guard=guard, then=then, orelse=orelse):
                found.append(("choice", guard.form, _tokens(then, key), _tokens(orelse, key)))
            case Repeat(form=form, body=body):
                found.append(("loop", form, _tokens(body, key), _leaves(body)))
    return tuple(found)


def _leaves(term: Term) -> frozenset[str]:
    """In which ways a turn of a loop may be the last one."""
    found: set[str] = set()
    for item in term:
        match item:
            case Leave(kind=("break" | "return") as kind):
                found.add(kind)
            case Choice(then=then, orelse=orelse):
                found |= _leaves(then) | _leaves(orelse)
            case Repeat(body=body):
                found |= _leaves(body) & {"return"}
    return frozenset(found)


@dataclass(slots=True)
class _Difference:
    """What is left over when two terms have been laid side by side."""

    mine: list[Event] = field(default_factory=list)
    theirs: Counter[Hashable] = field(default_factory=Counter)
    #: Collectives of loops that the other side leaves early.
    skipped: list[Event] = field(default_factory=list)


def _missing(mine: Term, theirs: Term, places: dict[int, _Place]) -> list[Event]:
    """Collectives of `mine` that have no counterpart in `theirs`.

    The sequences are aligned first; within what does not align, equal collectives in another structure (a loop on one
    side, the same calls unrolled on the other) are given the benefit of the doubt.
    """

    def key(item: Item) -> Hashable:
        # The same statement on both sides is the same call; only what stands in arms has to be matched up.
        outside = isinstance(item, Event) and places.get(id(item)) == "outside"
        return (_plain(item), id(item)) if outside else _plain(item)

    difference = _Difference()
    _compare(mine, theirs, key, difference)
    unmatched: list[Event] = []
    for event in difference.mine:
        if difference.theirs[_plain(event)] > 0:
            difference.theirs[_plain(event)] -= 1
        else:
            unmatched.append(event)
    return unmatched or difference.skipped


def _compare(mine: Term, theirs: Term, key: _Key, difference: _Difference) -> None:
    if _raises(mine) or _raises(theirs):
        return
    left, right = _without_leaves(mine), _without_leaves(theirs)
    left, right = _merged(left, right), _merged(right, left)
    matcher = SequenceMatcher(None, _tokens(left, key), _tokens(right, key), autojunk=False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        partners = list(right[other_start:other_end])
        for item in left[start:end]:
            partner = next((other for other in partners if _same_kind(item, other)), None)
            if partner is not None:
                partners.remove(partner)
            match item, partner:
                case Choice(), Choice():
                    _compare(item.then, partner.then, key, difference)
                    _compare(item.orelse, partner.orelse, key, difference)
                case Repeat(), Repeat():
                    _compare(item.body, partner.body, key, difference)
                    if _leaves(partner.body) - _leaves(item.body):
                        difference.skipped += events(item.body)
                case _:
                    difference.mine += events((item,))
        difference.theirs.update(_plain(event) for event in events(tuple(partners)))


def _merged(term: Term, other: Term) -> Term:
    """The term without choices that make no difference, unless the other side has the same choice."""
    forms = {item.guard.form for item in other if isinstance(item, Choice)}
    found: list[Item] = []
    for item in term:
        if isinstance(item, Choice) and item.guard.form not in forms:
            then, orelse = _merged(_without_leaves(item.then), ()), _merged(_without_leaves(item.orelse), ())
            if _tokens(then, _plain) == _tokens(orelse, _plain) or item.orelse == (Leave("raise"),):
                found += then
            elif item.then == (Leave("raise"),):
                found += orelse
            else:
                found.append(item)
        else:
            found.append(item)
    return tuple(found)


def _same_kind(one: Item, other: Item) -> bool:
    match one, other:
        case Choice(), Choice():
            return one.guard.form == other.guard.form
        case Repeat(), Repeat():
            return one.form == other.form
        case _:
            return False


def _without_leaves(term: Sequence[Item]) -> Term:
    return tuple(item for item in term if not isinstance(item, Leave))
