"""Comparing what ranks do on the two sides of a condition that differs between them."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..domain.path_condition import ANYWHERE, PathCondition
from ..domain.recognise import launched
from ..domain.symbol import WORLD, Symbol, constant, name
from ..effects import Choice, Event, Guard, decided_by, events, guards, walk
from ..positions import within
from .alignment import merged, missing, plain, raises, same, tokens, without_leaves
from .crossed_groups import crossed
from .deciding import deciding
from .divergence import SHOWN, Divergence
from .sides import Restricted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from collectivelint.ir.nodes import Span

    from ..effects import Item, Term
    from .divergence import Where
    from .file_evidence import FileEvidence

_NONE: Final = constant(None)
#: A collective below more undecided conditions than this, after the one that differs, is as good as unreachable. One of many
#: overrides counts for more than one.
_DEEPEST: Final = 6

#: "outside" all arms of the condition, in one of this function's own ("arm", "loop", and "deep" if there is yet another
#: condition to pass), or in one of a function it calls, which has been judged there ("foreign").
_Place: TypeAlias = Literal["outside", "arm", "loop", "deep", "foreign"]


def divergences(term: Term) -> Iterator[Divergence]:
    """All divergences in a function's term; for each call or collective the most informative one comes first."""
    judged: dict[Symbol, Guard] = {}
    for guard in guards(term):
        if guard.own and guard.varies:
            judged.setdefault(guard.symbol, guard)
    if not judged:
        return
    groups = {group: Restricted.to(term, group) for group in dict.fromkeys(event.group for event in events(term))}
    # A rank decides for sure, and the first one that does is what to repair. What else differs may happen to be the same
    # on all ranks: then the condition next to the collective says most.
    ranks = [guard for guard in judged.values() if any(cause.kind == "rank" for cause in guard.causes)]
    for guard in (*ranks, *(guard for guard in reversed(judged.values()) if guard not in ranks)):
        for group, restricted in groups.items():
            yield from _of_group(term, guard, group, restricted)
        if len(groups) > 1:
            yield from crossed(term, guard, groups)


def surest(found: Iterable[Divergence], evidence: Callable[[Divergence], FileEvidence | None]) -> Iterable[Divergence]:
    """One divergence for each call or collective: the first one that needs no unusual environment, else the first.

    `evidence` gives what the program shows about the look-ups of files that decide one.
    """
    chosen: dict[Span, Divergence] = {}
    for divergence in found:
        place, _ = divergence.event.place
        known = chosen.get(place)
        if known is None or not known.is_practical:
            judged = divergence.shown_by(evidence(divergence))
            if known is None or judged.is_practical:
                chosen[place] = judged
    return chosen.values()


def one_for_each_exit(found: Iterable[Divergence]) -> Iterator[Divergence]:
    """One divergence for each exit and each loop: fixing its condition fixes everything that other ranks miss by it."""
    together: dict[object, list[Divergence]] = {}
    for number, divergence in enumerate(found):
        guard = divergence.guard
        by_one = divergence.where in ("exit", "loop") and divergence.event.kind != "create"
        together.setdefault((guard.path, guard.span, divergence.where) if by_one else number, []).append(divergence)
    for group in together.values():
        first = min(group, key=lambda divergence: (-divergence.confidence, divergence.event.place[0].line))
        yield first.with_further(tuple(divergence.event for divergence in group if divergence is not first))


def _of_group(term: Term, guard: Guard, group: Symbol, restricted: Restricted) -> Iterator[Divergence]:
    if guard.symbol not in restricted.judged:
        return
    sides = restricted.sides(guard.symbol)
    if any(raises(side) for side in sides.values()):
        # An uncaught exception ends the job on every rank: the launcher stops the others.
        return
    if same(sides[True], sides[False]):
        return
    places, depths = _places(restricted.alone, guard)
    found = False
    for holds in (True, False):
        # From there on these ranks have a default group of their own, which has nothing to do with the others.
        unmatched = [*takewhile(lambda event: event.kind != "init", missing(sides[holds], sides[not holds], places))]
        undecided = _undecided(sides[holds], guard.symbol, group) if unmatched else frozenset()
        # All ranks that get to the others are on this side.
        alone = [event for event in unmatched if id(event) in undecided]
        found = found or bool(alone)
        count = Counter(event.place[0] for event in alone)
        first: dict[Span, Event] = {}
        for event in alone:
            span, _ = event.place
            if span in first and not (first[span].api and not event.api):
                # What is a collective in any program says more.
                continue
            where, depth = places.get(id(event), "outside"), depths.get(id(event), 0)
            if where == "foreign" or (where == "deep" and guard.maybe):
                # Two conditions of the configuration may well exclude each other.
                continue
            if depth > (0 if event.kind == "create" else _DEEPEST):
                # The same, the more conditions there are; and a group is mostly made once, where it is first needed.
                continue
            if _meets(guard, event, holds=holds, term=term):
                first[span] = event
        for span, event in first.items():
            where, depth = places.get(id(event), "outside"), depths.get(id(event), 0)
            shown: Where = "exit" if where == "outside" else "loop" if where == "loop" else "arm"
            decides = deciding(restricted.alone, guard, event)
            yield Divergence(decides, event, shown, holds, count[span] - 1, depth=depth)
    if not found:
        for disorder in _disorder(guard, sides[True], sides[False]):
            decides = deciding(restricted.alone, guard, disorder.event)
            yield Divergence(decides, disorder.event, disorder.where, disorder.holds, disorder.more, disorder.other)


def _disorder(guard: Guard, one: Term, two: Term) -> Iterator[Divergence]:
    """A divergence of kind "order": both sides run the same sequence of collectives in another order."""
    mine, theirs = [without_leaves(merged(side, set())) for side in (one, two)]
    one_by_one, others = tokens(mine, plain), tokens(theirs, plain)
    if len(one_by_one) != len(mine) or Counter(one_by_one) != Counter(others):
        return
    for index, left in enumerate(mine):
        if one_by_one[index] != others[index]:
            event, other = next(events((left,)), None), next(events((theirs[index],)), None)
            if event is not None and other is not None and event.token != other.token:
                meets = _meets(guard, event, holds=True, term=None)
                if meets:
                    yield Divergence(guard, event, "order", True, other=other)
            return


def _meets(guard: Guard, event: Event, *, holds: bool, term: Term | None) -> bool:
    """Whether ranks of the same group are on both sides of the condition.

    `term` is the function's term for all groups; None where ranks of both sides are known to have collectives.
    """
    if event.group is WORLD or not guard.varies.isdisjoint(_axes(event.group)):
        return True
    if WORLD not in guard.varies:
        return False
    kinds = {cause.kind for cause in guard.causes}
    if "rank" not in kinds and kinds != {"branch"}:
        # Clocks and disks know nothing of groups: any two ranks may differ.
        return True
    # A global rank decides about a sub-group. With exactly one rank on this side its group is surely split, if it has
    # more members; but with collectives on both sides the branch gives roles to ranks, each with groups of their own.
    alone = guard.one is holds
    if not alone or event.partial:
        return False
    return term is not None and not _roles(term, guard.symbol, holds=not holds)


def _axes(group: Symbol) -> tuple[Symbol, ...]:
    """A group, and the axes that it spans: ranks of `dp+cp` differ in their number along `dp`, or `cp`, or both."""
    written = str(group.head[-1]) if group.kind == "name" else ""
    return (group, *[name(part) for part in written.split("+")]) if "+" in written else (group,)


def _undecided(side: Term, symbol: Symbol, group: Symbol) -> frozenset[int]:
    """The ids of the items whose enclosing conditions leave `symbol` open; only those equal on all ranks decide it.

    Items that only one rank of the group reaches are left out: nothing can differ there.
    """

    def inside(item: Item, number: int, known: PathCondition | None) -> PathCondition | None:
        if known is None or not isinstance(item, Choice):
            return known
        guard = item.guard
        if guard.varies:
            is_alone = guard.one is (number == 0) and (WORLD in guard.varies or group in guard.varies)
            return None if is_alone and guard.symbol is not symbol else known
        return known.given(guard.symbol, holds=number == 0)

    anywhere: PathCondition | None = ANYWHERE
    return frozenset(
        id(item)
        for item, known in within(side, anywhere, inside)
        if known is not None and known.outcome(symbol) is None
    )


def _places(term: Term, judged: Guard) -> tuple[dict[int, _Place], dict[int, int]]:
    """By id of each collective: its position relative to the condition, and the number of other conditions on it."""
    symbol = judged.symbol
    is_of_ranks = any(cause.kind == "rank" for cause in judged.causes)

    def inside(item: Item, number: int, context: tuple[_Place, int]) -> tuple[_Place, int]:
        where, depth = context
        guard = decided_by(item)
        if guard is not None and guard.symbol is symbol:
            return ("arm" if isinstance(item, Choice) else "loop") if guard.own else "foreign", 0
        if is_of_ranks and isinstance(item, Choice) and launched(item.guard.symbol) is (number == 0):
            # Where there are no other ranks, there is none to differ from.
            return "deep" if where == "arm" else where, depth
        if isinstance(item, Choice) and item.guard.symbol.kind == "caught":
            # Whether something fails is no condition of the configuration.
            return "deep" if where == "arm" else where, depth
        if isinstance(item, Choice):
            open_ = SHOWN + 1 if _is_for_none(item.guard.symbol, holds=number == 0) else 1
            return "deep" if where == "arm" else where, depth + (item.guard.ways - 1).bit_length() * open_
        return context

    places: dict[int, _Place] = {}
    depths: dict[int, int] = {}
    outside: tuple[_Place, int] = ("outside", 0)
    for item, (where, depth) in within(term, outside, inside):
        # `if a or b:` has its body twice.
        if isinstance(item, Event) and places.get(id(item), "outside") == "outside":
            places[id(item)], depths[id(item)] = where, depth
    return places, depths


def _is_for_none(symbol: Symbol, *, holds: bool) -> bool:
    """Whether an arm is reached only where an attribute is None."""
    if symbol.is_negation:
        return _is_for_none(symbol.negate(), holds=not holds)
    asks = symbol.kind == "compare" and symbol.head[0] == "is" and symbol.args[1] is _NONE
    return holds and asks and symbol.args[0].kind == "attribute"


def _roles(term: Term, symbol: Symbol, *, holds: bool) -> bool:
    """Whether the ranks on this side have collectives in their arm, on whatever group."""
    return any(
        any(True for _ in events(item.then if holds else item.orelse))
        for item in walk(term)
        if isinstance(item, Choice) and item.guard.symbol is symbol
    )
