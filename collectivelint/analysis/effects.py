"""The algebra of effect terms: walks, folds and maps over them."""

from __future__ import annotations

from operator import is_
from typing import TYPE_CHECKING, Final, TypeVar

from .guard import Guard
from .terms import (
    CallSite,
    Choice,
    Deferred,
    Event,
    Fails,
    Item,
    Leave,
    Repeat,
    Term,
    Yielded,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence


__all__ = [
    "CallSite",
    "Choice",
    "Deferred",
    "Event",
    "Fails",
    "Guard",
    "Item",
    "Leave",
    "Repeat",
    "Term",
    "Yielded",
    "decided_by",
    "deferred",
    "events",
    "exits",
    "fold",
    "guards",
    "is_choice",
    "map_term",
    "matters",
    "parts",
    "repeats",
    "size",
    "walk",
    "with_parts",
]

_Result = TypeVar("_Result")

# ------------------------------------------------------------------------------------------------------- the algebra


def parts(item: Item) -> tuple[Term, ...]:
    """The terms inside an item: both arms of a choice, the body of a loop."""
    if isinstance(item, Choice):
        return (item.then, item.orelse)
    return (item.body,) if isinstance(item, Repeat) else ()


def with_parts(item: Item, inner: Sequence[Term]) -> Item:
    """The item with other terms inside; the same object if none of their items changed."""
    if all(len(new) == len(old) and all(map(is_, new, old)) for new, old in zip(inner, parts(item), strict=True)):
        return item
    if isinstance(item, Choice):
        return Choice(item.guard, *inner)
    return item.with_body(inner[0]) if isinstance(item, Repeat) else item


def walk(term: Term, into: Callable[[Item], bool] | None = None) -> list[Item]:
    """All items of a term in order of appearance, outer items first.

    With `into`, only the items for which it is true are entered; without it, all are.
    """
    # A stack of its own, since chains of conditions are deeper than Python's; a list, since generators are slow where compiled.
    found: list[Item] = []
    # Terms that have been entered, each with the position of the next item.
    entered: list[tuple[Term, int]] = []
    current, position = term, 0
    while True:
        if position == len(current):
            if not entered:
                return found
            current, position = entered.pop()
            continue
        item = current[position]
        position += 1
        found.append(item)
        if isinstance(item, Choice):
            if into is None or into(item):
                if item.orelse:
                    entered.append((current, position))
                    current, position = item.orelse, 0
                if item.then:
                    entered.append((current, position))
                    current, position = item.then, 0
        elif isinstance(item, Repeat) and item.body and (into is None or into(item)):
            entered.append((current, position))
            current, position = item.body, 0


def fold(
    term: Term,
    each: Callable[[Item, tuple[_Result, ...]], _Result],
    sequence: Callable[[list[_Result]], _Result],
    into: Callable[[Item], bool] | None = None,
) -> _Result:
    """Fold a term from the inside out: `each` combines an item with its parts' results, `sequence` a term's items.

    An item for which `into` is false counts as having no parts.
    """
    # A stack of its own, since chains of conditions are deeper than Python's: the item around (None at the top), its terms
    # that are still to come, the results of those before, the term at hand, where in it, and the results so far.
    todo: list[tuple[Item | None, tuple[Term, ...], list[_Result], Term, int, list[_Result]]] = []
    todo.append((None, (), [], term, 0, []))
    while True:
        item, later, earlier, current, position, results = todo.pop()
        if position == len(current):
            earlier.append(sequence(results))
            if later:
                todo.append((item, later[1:], earlier, later[0], 0, []))
            elif item is None:
                return earlier[0]
            else:
                todo[-1][5].append(each(item, tuple(earlier)))
            continue
        todo.append((item, later, earlier, current, position + 1, results))
        entered = current[position]
        inner = parts(entered) if into is None or into(entered) else ()
        if inner:
            todo.append((entered, inner[1:], [], inner[0], 0, []))
        else:
            results.append(each(entered, ()))


def map_term(
    term: Term,
    change: Callable[[Item], Iterable[Item]],
    into: Callable[[Item], bool] | None = None,
    finish: Callable[[Term], Term] | None = None,
) -> Term:
    """A term with each item replaced by the result of `change`, from the inside out.

    An item for which `into` is false is not entered. `finish` is applied to each resulting term. Unchanged items stay
    the same objects.
    """

    def each(item: Item, inner: tuple[Term, ...]) -> Term:
        return tuple(change(with_parts(item, inner) if inner else item))

    def sequence(found: list[Term]) -> Term:
        joined = tuple(item for part in found for item in part)
        return joined if finish is None else finish(joined)

    return fold(term, each, sequence, into)


# ---------------------------------------------------------------------------------------------------- what is in it


#: The operation of events that are passes of models.
FORWARD: Final = "forward"


def events(term: Term) -> Iterator[Event]:
    """All collectives of a term, in order of appearance."""
    return (item for item in walk(term) if isinstance(item, Event))


def decided_by(item: Item) -> Guard | None:
    """The condition that decides a choice, or the number of iterations of a loop."""
    if isinstance(item, Choice):
        return item.guard
    return item.trips if isinstance(item, Repeat) else None


def guards(term: Term) -> Iterator[Guard]:
    """All conditions of a term, outer ones first."""
    return (guard for item in walk(term) if (guard := decided_by(item)) is not None)


def repeats(term: Term) -> Iterator[Repeat]:
    """All loops of a term, outer ones first."""
    return (item for item in walk(term) if isinstance(item, Repeat))


def deferred(term: Term) -> Iterator[str]:
    """The parameters that a term calls."""
    return (item.parameter for item in walk(term) if isinstance(item, Deferred) and not item.method)


def size(term: Term) -> int:
    """Number of items."""
    return sum(1 for _ in walk(term))


def matters(term: Term) -> bool:
    """Whether a term has a collective or may get one: from a function argument or a `try` around a `yield`."""
    return any(isinstance(item, (Event, Deferred)) or catches_around_yield(item) for item in walk(term))


def catches_around_yield(item: Item) -> bool:
    """Whether a generator catches, around its `yield`, a failure that may happen on a single rank."""
    if not isinstance(item, Choice) or not item.guard.varies or item.guard.symbol.kind != "caught":
        return False
    return any(isinstance(inner, Yielded) for inner in walk(item.orelse, is_choice))


def is_choice(item: Item) -> bool:
    """Whether the item is a choice: `walk` that enters choices alone stays within one iteration of the loop around."""
    return isinstance(item, Choice)


def exits(term: Term) -> bool:
    """Whether an arm of the term, outside its loops, ends the function or the current iteration of its loop."""
    return any(isinstance(item, Leave) for item in walk(term, is_choice))
