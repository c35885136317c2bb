"""Loops over ranks in which each rank acts in its own iteration: `for other in ranks: if other == rank: build()`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..effects import Choice, Repeat, events, walk

if TYPE_CHECKING:
    from ..effects import Term
    from .divergence import Divergence


def is_own_turn(term: Term, divergence: Divergence) -> bool:
    """Whether a rank reaches a collective in one iteration of a loop in which no other collective runs.

    Each rank whose number the loop covers runs it once: nothing in the loop makes it wait for its iteration.
    """
    asked = divergence.guard.symbol.positive
    if asked.kind != "compare" or asked.head != ("==",):
        return False
    if not any(part.kind == "place" and part.head[0] == "each" for part in asked.args):
        return False
    for item in walk(term):
        if isinstance(item, Repeat):
            inside = [choice for choice in walk(item.body) if isinstance(choice, Choice)]
            own = [choice for choice in inside if choice.guard.symbol.positive is asked]
            mine = [event for choice in own for event in events((choice,))]
            if any(event.place == divergence.event.place for event in mine):
                arms = [[*events(arm)] for choice in own for arm in (choice.then, choice.orelse)]
                return len([*events(item.body)]) == len(mine) and sum(map(bool, arms)) == 1
    return False
