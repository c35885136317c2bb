"""Job-wide paths that one rank of each node removes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..domain.paths import is_inside, parts
from ..domain.symbol import WORLD
from ..domain.value import PLACES
from .file_polling import attributes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...ir.nodes import Span
    from ..domain.symbol import Symbol
    from ..summary.facts import FunctionFacts
    from ..summary.observed import PathUse

#: What one rank does to a folder for all.
_SHARED: Final = frozenset({"make", "fill", "write", "save"})


def removed_on_each_node(facts: FunctionFacts) -> Iterator[tuple[Span, PathUse, PathUse]]:
    """Removals by one rank of each node, with the call by which one rank of the job creates the path for all."""
    known = attributes(facts)
    by_job = [
        use
        for site, use in facts.paths.values()
        if use.use == "checkpoint" or (use.alone and use.use in _SHARED and _varies_over(facts, site, WORLD))
    ]
    for at, removal in facts.paths.values() if by_job else ():
        guards = [guard for guard in facts.turns.get(at, ()) if any(cause.kind == "rank" for cause in guard.causes)]
        if removal.use != "remove" or removal.own or not guards or not all(guard.varies <= PLACES for guard in guards):
            continue
        found = next((use for use in by_job if _is_beside(removal.path, use, known)), None)
        if found is not None:
            yield at, removal, found


def _is_beside(removed: Symbol, use: PathUse, known: Mapping[Symbol, Symbol]) -> bool:
    """Whether a path is the used folder, is inside it, or is an entry of the folder with a checkpoint of all ranks."""
    if is_inside(removed, use.path, known):
        return True
    folder = parts(removed, known)[:-1]
    return use.use == "checkpoint" and bool(folder) and parts(use.path, known)[: len(folder)] == folder


def _varies_over(facts: FunctionFacts, site: Span, axis: Symbol) -> bool:
    return any(axis in guard.varies for guard in facts.turns.get(site, ()))
