"""Recursion in effect terms: a call path leads through each function once, so that a circle of functions has a finite term."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..effects import Event, map_term

if TYPE_CHECKING:
    from ..effects import Term


def acyclic(term: Term, path: str, function: str) -> Term:
    """The summary of a callee that calls `function` of file `path` in turn, as that function inlines it.

    Without the collectives that are reached through `function` itself: those run in the call that is under way already,
    and a recursive call repeats them.
    """
    return map_term(term, lambda item: () if isinstance(item, Event) and _passes(item, path, function) else (item,))


def _passes(event: Event, path: str, function: str) -> bool:
    """Whether the path to a collective leads through a function; the one it stands in is on it."""
    if event.function == function and event.path == path:
        return True
    return any(site.function == function and site.path == path for site in event.chain)
