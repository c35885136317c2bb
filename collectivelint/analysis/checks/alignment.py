"""Two terms side by side: whether they are equal, and which collectives of one have no counterpart in the other."""

from __future__ import annotations

from collections import Counter
from difflib import SequenceMatcher
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, TypeAlias

from ..effects import Choice, Event, Leave, Repeat, events, fold, is_choice, parts, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from ..domain.symbol import Symbol
    from ..effects import Item, Term


def raises(term: Term) -> bool:
    """Whether every path through the term ends with an exception, or with a refusal (see `Leave.refused`)."""
    pending = [term]
    while pending:
        current = pending.pop()
        if any(_may_leave(item) for item in current[:-1]):
            return False
        match current[-1:]:
            case (Leave(kind="raise") | Leave(refused=True),):
                continue
            case (Choice() as choice,):
                pending += parts(choice)
            case _:
                return False
    return True


def _may_leave(item: Item) -> bool:
    """Whether some path through an item leaves the enclosing block without an exception."""
    if not isinstance(item, (Choice, Repeat)):
        return False
    ends = ("return",) if isinstance(item, Repeat) else ("return", "break", "continue")
    inside = is_choice if isinstance(item, Choice) else None
    if any(isinstance(inner, Leave) and inner.kind in ends and not inner.refused for inner in walk((item,), inside)):
        return True
    return isinstance(item, Choice) and any(_may_leave(inner) for inner in walk((item,)) if isinstance(inner, Repeat))


_Key: TypeAlias = "Callable[[Item], Hashable]"


def plain(item: Item) -> Hashable:
    """The key by which two ranks match in a collective: the operation and its group."""
    return item.token if isinstance(item, Event) else item


def tokens(term: Term, key: _Key) -> tuple[Hashable, ...]:
    """The collectives of a term by `key`, in the structure of its choices and loops."""

    def token(item: Item, inner: tuple[tuple[Hashable, ...], ...]) -> tuple[Hashable, ...]:
        match item:
            case Event():
                return (key(item),)
            case Choice(guard=guard):
                return (("choice", guard.symbol, *inner),)
            case Repeat(symbol=symbol, body=body):
                return (("loop", symbol, *inner, _leaves(body)),)
            case _:
                return ()

    return fold(term, token, lambda found: tuple(chain.from_iterable(found)))


def same(one: Term, two: Term) -> bool:
    """Whether both run the same collectives in the same structure: whether their `tokens` are equal.

    No tokens are computed for items that are the same object, as most items of two sides are.
    """
    pending = [(one, two)]
    while pending:
        left, right = map(_structure, pending.pop())
        if len(left) != len(right):
            return False
        for item, other in zip(left, right, strict=True):
            if item is other:
                continue
            if not _alike(item, other):
                return False
            pending += [pair for pair in zip(parts(item), parts(other), strict=True) if pair[0] is not pair[1]]
    return True


def _structure(term: Term) -> list[Item]:
    return [item for item in term if isinstance(item, (Event, Choice, Repeat))]


def _alike(one: Item, two: Item) -> bool:
    """Whether two items are the same collective, or choices or loops on the same condition, whatever their bodies."""
    if isinstance(one, Event) and isinstance(two, Event):
        return one.token == two.token
    if isinstance(one, Repeat) and isinstance(two, Repeat) and _leaves(one.body) != _leaves(two.body):
        return False
    return _same_kind(one, two)


def _leaves(term: Term) -> frozenset[str]:
    """The kinds of exit that may end a loop: "break", "return"."""
    here = {item.kind for item in walk(term, is_choice) if isinstance(item, Leave)}
    anywhere = {item.kind for item in walk(term) if isinstance(item, Leave)}
    return frozenset((here & {"break"}) | (anywhere & {"return"}))


class _Difference:
    """The unmatched collectives of two terms after alignment."""

    __slots__ = ("mine", "others", "skipped", "theirs")

    def __init__(
        self,
    ) -> None:
        self.mine: list[Item] = []
        self.theirs: Counter[Hashable] = Counter()
        #: The items that `theirs` counts the collectives of.
        self.others: list[Item] = []
        #: Collectives of loops that the other side leaves early.
        self.skipped: list[Event] = []


def missing(mine: Term, theirs: Term, places: Mapping[int, str]) -> list[Event]:
    """Collectives of `mine` that have no counterpart in `theirs`; `places` gives their positions by id.

    The sequences are aligned first; within what does not align, equal collectives in another structure (a loop on one
    side, the same calls unrolled on the other) are given the benefit of the doubt.
    """

    def key(item: Item) -> Hashable:
        # The same statement on both sides is the same call; only what stands in arms has to be matched up.
        outside = isinstance(item, Event) and places.get(id(item)) == "outside"
        return (plain(item), id(item)) if outside else plain(item)

    difference = _Difference()
    _compare(mine, theirs, key, difference)
    ranked = fold(tuple(difference.mine), _ranked, _in_turn)
    beyond = {
        id(event) for token, ranks in ranked.items() for rank in ranks[difference.theirs[token] :] for event in rank
    }
    # Ahead of every rank here, but only on some ways of the others: an exit that one of them takes by itself.
    left_over, others = tuple(difference.mine), tuple(difference.others)
    shared = {item.guard.symbol for item in walk(left_over) if isinstance(item, Choice)}

    def certain(item: Item, inner: tuple[frozenset[int], ...]) -> frozenset[int]:
        """The ids of the collectives that every rank which reaches an item runs, unless it raises."""
        if isinstance(item, Event):
            return frozenset({id(item)})
        ways = [found for part, found in zip(parts(item), inner, strict=True) if not raises(part)]
        if isinstance(item, Choice) and item.guard.symbol in shared:
            return frozenset().union(*ways)
        return frozenset.intersection(*ways) if ways else frozenset()

    always: frozenset[int] = fold(others, certain, _all_certain)
    left = {id(event) for event in events(others)} - always
    beyond |= {id(event) for event in events(left_over) if id(event) in left and places.get(id(event)) == "outside"}
    return [event for event in events(left_over) if id(event) in beyond] or difference.skipped


def _all_certain(results: list[frozenset[int]]) -> frozenset[int]:
    return frozenset().union(*results)


#: Of each kind of collective, those that are the first of it on a way through a term, the second, and so on.
_Ranked: TypeAlias = "dict[Hashable, list[list[Event]]]"


def _ranked(item: Item, inner: tuple[_Ranked, ...]) -> _Ranked:
    if isinstance(item, Event):
        return {plain(item): [[item]]}
    found: _Ranked = {}
    for part in inner:
        # A rank takes one of the arms: what stands in both is one and the same to the others.
        for token, ranks in part.items():
            known: list[list[Event]] = found.get(token, [])
            none: list[Event] = []
            found[token] = [[*one, *other] for one, other in zip_longest(known, ranks, fillvalue=none)]
    return found


def _in_turn(results: list[_Ranked]) -> _Ranked:
    found: _Ranked = {}
    for part in results:
        for token, ranks in part.items():
            found[token] = [*found.get(token, ()), *ranks]
    return found


def _compare(mine: Term, theirs: Term, key: _Key, difference: _Difference) -> None:
    # No fold: it goes down two terms at once, along what has been paired up in them.
    while True:
        if mine is theirs or raises(mine) or raises(theirs):
            return
        # Most of a chain of conditions is on both sides alike: the way to where it differs is short work.
        inner = _only_difference(mine, theirs)
        if inner is None:
            break
        mine, theirs = inner
    left, right = without_leaves(mine), without_leaves(theirs)
    symbols = [{item.guard.symbol for item in side if isinstance(item, Choice)} for side in (left, right)]
    # What stands before and after the place where the sides differ are the very same items.
    start = next((i for i, (one, two) in enumerate(zip(left, right, strict=False)) if one is not two), None)
    start = min(len(left), len(right)) if start is None else start
    end = 0
    while end < min(len(left), len(right)) - start and left[-1 - end] is right[-1 - end]:
        end += 1
    left, right = left[start : len(left) - end], right[start : len(right) - end]
    left, right = merged(left, symbols[1]), merged(right, symbols[0])
    if not left and not right:
        return
    if len(left) == len(right) == 1 and _same_kind(left[0], right[0]):
        _compare_inside(left[0], right[0], key, difference)
        return
    matcher = SequenceMatcher(None, tokens(left, key), tokens(right, key), autojunk=False)
    for tag, start, end, other_start, other_end in matcher.get_opcodes():
        if tag == "equal":
            continue
        partners = list(right[other_start:other_end])
        for item in left[start:end]:
            partner = next((other for other in partners if _same_kind(item, other)), None)
            if partner is not None:
                partners.remove(partner)
            if partner is None:
                difference.mine.append(item)
            else:
                _compare_inside(item, partner, key, difference)
        difference.theirs.update(plain(event) for event in events(tuple(partners)))
        difference.others += partners


def _only_difference(mine: Term, theirs: Term) -> tuple[Term, Term] | None:
    """The one pair of arms that differs, where both terms are nothing but the same choice."""
    if len(mine) != 1 or len(theirs) != 1:
        return None
    one, two = mine[0], theirs[0]
    if not isinstance(one, Choice) or not isinstance(two, Choice) or one.guard.symbol is not two.guard.symbol:
        return None
    if one.then is two.then:
        return one.orelse, two.orelse
    return (one.then, two.then) if one.orelse is two.orelse else None


def _compare_inside(item: Item, partner: Item, key: _Key, difference: _Difference) -> None:
    """Compare the arms of one and the same choice, or the bodies of one and the same loop."""
    for mine, theirs in zip(parts(item), parts(partner), strict=True):
        _compare(mine, theirs, key, difference)
    if isinstance(item, Repeat) and isinstance(partner, Repeat) and _leaves(partner.body) - _leaves(item.body):
        difference.skipped += events(item.body)


def merged(term: Term, symbols: AbstractSet[Symbol]) -> Term:
    """The term without choices that make no difference, unless the other side, which has `symbols`, has the same choice."""
    found: list[Item] = []
    for item in term:
        if isinstance(item, Choice) and item.guard.symbol not in symbols:
            inner: Term = fold((item,), _merged, _joined, is_choice)
            found += inner
        else:
            found.append(item)
    return tuple(found)


def _joined(results: list[Term]) -> Term:
    return without_leaves([item for term in results for item in term])


def _merged(item: Item, arms: tuple[Term, ...]) -> Term:
    """The single arm of a choice with equal arms; `arms` are its arms without such choices."""
    if not isinstance(item, Choice):
        return (item,)
    then, orelse = arms
    if same(then, orelse) and item.guard.one:
        # What more than one rank runs can be missing on some of them.
        return orelse
    if same(then, orelse) or item.orelse == (Leave("raise"),):
        return then
    return orelse if item.then == (Leave("raise"),) else (item,)


def _same_kind(one: Item, other: Item) -> bool:
    match one, other:
        case Choice(), Choice():
            return one.guard.symbol is other.guard.symbol
        case Repeat(), Repeat():
            return one.symbol == other.symbol
        case _:
            return False


def without_leaves(term: Sequence[Item]) -> Term:
    """The term without its exits."""
    return tuple(item for item in term if not isinstance(item, Leave))
