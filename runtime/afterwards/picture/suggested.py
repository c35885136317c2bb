"""The linter's fix for a divergence, if it has one for the line where the ranks diverged."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True, slots=True)
class Suggested:
    """A fix: what it does, where, and its edits as a unified diff without header and context."""

    message: str
    place: str
    lines: tuple[str, ...]


def suggested(rule: str, places: Iterable[tuple[str, int]]) -> Suggested | None:
    """The fix of a finding of `rule` at one of the places (file and line) or with a trail to it; None if there is none.

    The files are linted as they are now, each by itself and with the default settings. Nothing is written.
    """
    # The linter takes a while to import, and only a divergence that a rule explains needs it.
    from collectivelint.engine import Linter
    from collectivelint.report.remedy import applied, hunks
    from collectivelint.settings import Resolver

    for path, line in dict.fromkeys(places):
        linter = Linter(Resolver({"select": [rule]}, isolated=True))
        try:
            for finding in linter.run([Path(path)]).findings:
                fix = applied(finding)
                steps = [step.line for step in finding.trail if Path(step.path) == Path(finding.path)]
                if fix is not None and line in (finding.location.row, *steps):
                    changes = tuple(text for text in hunks(finding, linter) if not text.startswith("@@"))
                    return Suggested(fix.message, f"{finding.path}:{finding.location.row}", changes)
        except Exception:  # the page is about the run: it is written whatever the linter makes of a file
            continue
    return None
