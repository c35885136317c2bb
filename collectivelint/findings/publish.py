"""From what the rules report to what is shown: each place of a trail once, each finding once, the nearest of one cause."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from ..finding import Step

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..finding import Finding, Location
    from ..rule import Place

#: What a reader can tell findings apart by.
_Shown: TypeAlias = "tuple[str, str, Location, Location, str]"


def trail(places: Iterable[Place]) -> tuple[Step, ...]:
    """The steps of a trail: a line that comes up again is shown where it was first, with all that there is to say of it."""
    steps: dict[tuple[str, int], Step] = {}
    for place in places:
        line = place.path, place.span.line
        known = steps.get(line)
        if known is None:
            steps[line] = Step(*line, place.kind, place.text)
            continue
        # Where a collective runs, it is the collective that the line is there for.
        kind = known.kind if known.kind == "collective" else place.kind
        text = known.text if place.text in known.text else f"{place.text}, {known.text}"
        steps[line] = replace(known, kind=kind, text=text)
    return tuple(steps.values())


def published(findings: Iterable[Finding]) -> list[Finding]:
    """The findings to show, in order."""
    kept: dict[_Shown, Finding] = {}
    for finding in _nearest(findings):
        shown = finding.path, finding.code, finding.location, finding.end_location, finding.message
        kept[shown] = _shorter(kept[shown], finding) if shown in kept else finding
    return list(kept.values())


def _shorter(one: Finding, other: Finding) -> Finding:
    """Of two findings that say the same the one with the shorter trail, and with a fix if there is any."""
    short, long = (one, other) if len(one.trail) <= len(other.trail) else (other, one)
    return short if short.fix is not None else replace(short, fix=long.fix)


def _nearest(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings in order, but of those that share a root only the ones nearest to it."""
    every = list(findings)
    told = {finding.root for finding in every if finding.root and not finding.derived}
    for finding in sorted(every, key=lambda finding: finding.order):
        if finding.root and finding.derived:
            if finding.root in told:
                continue
            told.add(finding.root)
        yield finding
