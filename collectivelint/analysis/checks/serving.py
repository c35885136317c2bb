"""Ranks that serve another rank: they wait in a loop for its requests, which are sent from a different function."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...program.target import Target
from ..domain.kinds import TOLD
from ..domain.normalise import continued
from ..domain.symbol import constant
from ..effects import Choice, Event, Repeat, events, walk
from ..positions import within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..effects import Item, Term
    from ..summary.facts import FunctionFacts
    from .divergence import Divergence

_ALWAYS: Final = (constant(True), constant(1))


def is_served(
    facts: FunctionFacts, term: Term, divergence: Divergence, known: Callable[[Target], FunctionFacts | None]
) -> bool:
    """Whether all ranks but one run a collective to receive requests, which the remaining rank sends elsewhere.

    This is so in a loop that receives and is endless or ends on request, and where a function that the program passes
    on as a callback runs the same collective. It also covers the requests, where such a loop is in the other arm of the
    condition.
    """
    guard, event = divergence.guard, divergence.event
    if _is_answered(term, event) or (divergence.where == "exit" and _is_answered(continued(term), event)):
        return True
    if guard.one is None or guard.one is divergence.holds or event.kind != "collective":
        return False
    return _is_in_serving_loop(term, event) or any(event.op in _ops(handed, known) for handed in facts.handed)


def is_request(event: Event, terms_of_file: Iterable[Term]) -> bool:
    """Whether a collective broadcasts what an endless loop in the same file receives."""
    return event.operation in _FROM_ONE and any(
        isinstance(item, Repeat)
        and _is_endless(item)
        and any(other.token == event.token for other in events(item.body))
        for term in terms_of_file
        for item in walk(term)
    )


def _ops(handed: Target | Term, known: Callable[[Target], FunctionFacts | None]) -> frozenset[str]:
    """The collectives of a function that is passed on as a callback."""
    if not isinstance(handed, Target):
        return frozenset([event.op for event in events(handed)])
    facts = known(handed)
    return frozenset([event.op for event in facts.events]) if facts is not None else frozenset()


def _is_in_serving_loop(term: Term, event: Event) -> bool:
    """Whether a collective is in an endless loop that also receives something from one rank."""

    def inside(item: Item, _: int, serves: bool) -> bool:
        return serves or (isinstance(item, Repeat) and _is_endless(item) and _receives(item.body))

    place = event.place[0]
    return any(
        serves and isinstance(item, Event) and item.place[0] == place and item.op == event.op
        for item, serves in within(term, False, inside)
    )


def _is_answered(term: Term, event: Event) -> bool:
    """Whether ranks in the other arm of a condition around a collective receive requests in a loop and run it there."""

    def inside(item: Item, number: int, answered: bool) -> bool:
        if answered or not isinstance(item, Choice) or not item.guard.varies:
            return answered
        return _answers(item.orelse if number == 0 else item.then, event.op)

    return any(
        answered and isinstance(item, Event) and item.op == event.op and item.place[0] == event.place[0]
        for item, answered in within(term, False, inside)
    )


def _answers(arm: Term, op: str) -> bool:
    """Whether a term has an endless loop that receives something and runs a collective."""
    return any(
        isinstance(loop, Repeat)
        and _is_endless(loop)
        and _receives(loop.body)
        and any(other.op == op for other in events(loop.body))
        for loop in walk(arm)
    )


def _is_endless(loop: Repeat) -> bool:
    symbol = loop.symbol
    is_while = symbol.kind == "loop" and symbol.head[:1] == ("while",)
    return is_while and (symbol.args[0] in _ALWAYS or symbol.head[-1] == TOLD)


def _receives(body: Term) -> bool:
    """Whether a term gets something from one rank."""
    return any(event.operation in _FROM_ONE for event in events(body))


_FROM_ONE: Final = frozenset({"broadcast", "broadcast_object", "scatter", "scatter_object"})
