"""Recursion in effect terms: a call chain passes through each function once, so that terms stay finite."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..effects import Event, map_term

if TYPE_CHECKING:
    from ..effects import Term


def acyclic(term: Term, path: str, function: str) -> Term:
    """The effect of a callee that in turn calls `function` of file `path`, as that function inlines it.

    Collectives reached through `function` itself are left out: they run in the call that is in progress, and a
    recursive call repeats them.
    """
    return map_term(term, lambda item: () if isinstance(item, Event) and _passes(item, path, function) else (item,))


def _passes(event: Event, path: str, function: str) -> bool:
    """Whether the call chain to a collective passes through a function or ends in it."""
    if event.function == function and event.path == path:
        return True
    return any(site.function == function and site.path == path for site in event.chain)
