"""Positions of the items of a term: what encloses each, and which collectives come after a call."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from .effects import Event, fold, parts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..ir.nodes import Span
    from .effects import Item, Term

_Context = TypeVar("_Context")
#: The collectives of a term, and those after the call that is asked for; None where the call is not in the term.
_Split: TypeAlias = "tuple[list[Event], list[Event] | None]"


def within(
    term: Term, context: _Context, inside: Callable[[Item, int, _Context], _Context]
) -> Iterator[tuple[Item, _Context]]:
    """All items of a term in order of appearance, each with its context.

    `context` is the context of the term; `inside` computes that of a part from the item, the number of the part (see
    `parts`) and the context of the item.
    """
    pending = [(item, context) for item in reversed(term)]
    while pending:
        item, here = pending.pop()
        yield item, here
        for number, part in reversed([*enumerate(parts(item))]):
            if part:
                below = inside(item, number, here)
                pending += [(inner, below) for inner in reversed(part)]


def terms(term: Term) -> Iterator[Term]:
    """The term and all terms inside it, outer ones first."""
    pending = [term]
    while pending:
        current = pending.pop()
        yield current
        pending += [part for item in reversed(current) for part in reversed(parts(item))]


def following(term: Term, span: Span) -> list[Event]:
    """The collectives that may follow those of the call at `span` on the same path, not in another arm."""
    return fold(term, lambda item, inner: _split_item(item, inner, span), _split_sequence)[1] or []


def _split_item(item: Item, inner: tuple[_Split, ...], span: Span) -> _Split:
    if isinstance(item, Event):
        return [item], [] if item.place[0] == span else None
    after = [found for _, found in inner if found is not None]
    return [*chain.from_iterable(found for found, _ in inner)], [*chain.from_iterable(after)] if after else None


def _split_sequence(results: list[_Split]) -> _Split:
    everything = [*chain.from_iterable(found for found, _ in results)]
    for number, (_, after) in enumerate(results):
        if after is not None:
            return everything, [*after, *chain.from_iterable(found for found, _ in results[number + 1 :])]
    return everything, None
