"""Collectives of all ranks in a program that also makes groups which leave some ranks out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...source.discover import is_example
from ..domain.symbol import WORLD
from ..effects import events

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..effects import Event
    from ..program import Analysis
    from ..summary.facts import FunctionFacts
    from ..summary.making import Making


def collectives_beside_subgroups(analysis: Analysis) -> Iterator[tuple[FunctionFacts, Event, Making]]:
    """For each function that reaches both: a collective of all ranks, and a call that makes a sub-group.

    A function that reaches both belongs to a program that runs both. Test files are skipped; example files count only
    for collectives in examples themselves.
    """
    leaving = {(made.path, made.span): made for made in analysis.making if made.members == "some"}
    if not leaving:
        return
    for facts in analysis.outside_tests:
        path = facts.function.path
        found = list(events(facts.term))
        made = next((leaving[place] for event in found if (place := (event.path, event.span)) in leaving), None)
        if made is None:
            continue
        for event in found:
            is_whole = event.kind == "collective" and event.group is WORLD
            if is_whole and (is_example(event.path) or not is_example(path)):
                yield facts, event, made
