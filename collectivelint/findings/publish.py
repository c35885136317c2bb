"""From the report of a rule to a finding: enabled, not silenced, anchored, with its fix; and which findings to show.

A trail shows each line once. Of equal findings one is shown, of findings with one cause the nearest; findings below the
configured confidence are kept apart.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from ..finding import UNREADABLE, Finding, Location, Step
from ..rule import FixContext
from ..settings.selection import allowed_fix, runs_in
from ..source.discover import is_test
from .confidence import Confidence
from .internal import internal_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ..finding import Fix
    from ..ir.nodes import Span
    from ..rule import Place, Report
    from ..rule_id import Rule
    from ..settings.model import Settings
    from ..settings.resolver import Resolver
    from ..source.files import SourceFiles
    from ..source.text import Source
    from .anchor import Anchored
    from .comments import Comments

#: Rules whose findings a notebook, which has one process, has as well as any other program.
_IN_NOTEBOOKS: Final = ("anywhere", "of groups")
#: Statements with a body: a comment on their last line belongs to what stands there.
_COMPOUND: Final = re.compile(r"(async|class|def|elif|for|if|match|try|while|with)\b")

#: What a reader can tell findings apart by.
_Shown: TypeAlias = "tuple[str, str, Location, Location, str]"


class Publisher:
    """Turns reports into findings, under the settings and the comments of the files that they are about."""

    def __init__(self, resolver: Resolver, files: SourceFiles, comments: Comments) -> None:
        """`resolver` finds the settings of a file; `files` have the texts and `comments` what is silenced in them."""
        self._resolver, self._files, self._comments = resolver, files, comments

    def finding(self, rule: Rule, report: Report, errors: list[str]) -> Finding | None:
        """The finding for a report; None where the rule is off or a comment silences it.

        A fix that fails is added to `errors`, and the finding has none.
        """
        settings = self._resolver.settings(Path(report.path))
        # A file that is not checked is no clean one, whatever is selected.
        if rule.code != UNREADABLE and not runs_in(report.path, settings, rule):
            return None
        source = self._files.loaded(report.path)
        if source is None:
            # Nothing to anchor on: the file could not be read at all.
            place = Location(report.span.line, report.span.column + 1)
            return Finding(rule.code, rule.name, report.message, report.severity, report.path, place, place, "")
        if rule.code != UNREADABLE and self._comments.silenced(report.path, rule, _lines(source, report)):
            return None
        start, end = _locations(source, report.span)
        return Finding(
            code=rule.code,
            name=rule.name,
            message=report.message,
            severity=report.severity,
            path=report.path,
            location=start,
            end_location=end,
            function="" if report.function == "<module>" else report.function,
            trail=trail(report.trail),
            help=report.help,
            fix=_fix(rule, report, source, settings, errors),
            root=report.root,
            derived=report.derived,
            confidence=_confidence(rule, report),
            seen_from=report.seen_from,
            api=report.api,
        )


def _confidence(rule: Rule, report: Report) -> Confidence:
    """The confidence of a report; at most low in a test or notebook, depending on the rule's `holds`.

    A test decides how many ranks it starts and shows a hang when it runs; a notebook has one process.
    """
    in_test = rule.holds != "anywhere" and is_test(report.path)
    in_notebook = rule.holds not in _IN_NOTEBOOKS and report.path.endswith(".ipynb")
    return min(report.confidence, Confidence.LOW) if in_test or in_notebook else report.confidence


def _lines(source: Source, report: Report) -> list[int]:
    """The lines on which a comment silences a report."""
    lines = [report.span.line, report.span.end_line, report.statement.line]
    if not _COMPOUND.match(source.line(report.statement.line).lstrip()):
        lines.append(report.statement.end_line)
    return lines


def _locations(source: Source, span: Span) -> tuple[Location, Location]:
    if span.start == span.end:
        place = Location(span.line, span.column + 1)
        return place, place
    start = Location(span.line, source.column(span.line, span.column) + 1)
    return start, Location(span.end_line, source.column(span.end_line, span.end_column) + 1)


def _fix(rule: Rule, report: Report, source: Source, settings: Settings, errors: list[str]) -> Fix | None:
    """The fix of a report as far as the settings allow it."""
    if report.fix is None:
        return None
    try:
        fix = report.fix(FixContext(source, settings, lambda span: anchored(source, span)))
    except Exception as error:  # the finding stands, also without its fix
        errors.append(internal_error(f"the fix of {rule.code} at {report.path}:{report.span.line}", error))
        return None
    return allowed_fix(settings, rule, fix) if fix is not None else None


def anchored(source: Source, span: Span) -> Anchored | None:
    """The statement at a span as a lossless tree."""
    # Imported here: libcst costs more to import than linting a clean project does.
    from .anchor import anchor

    return anchor(source, span)


def trail(places: Iterable[Place]) -> tuple[Step, ...]:
    """The steps of a trail, one per source line: a line that occurs again is merged into its first step."""
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
        shown = _shown(finding)
        kept[shown] = _shorter(kept[shown], finding) if shown in kept else finding
    return list(kept.values())


def apart(findings: Iterable[Finding], least: Callable[[Finding], Confidence]) -> tuple[list[Finding], list[Finding]]:
    """The findings to show, and those below the confidence that `least` gives for each; both in order."""
    every = list(_surest(findings))
    shown = published(finding for finding in every if finding.confidence >= least(finding))
    known, roots = {_shown(finding) for finding in shown}, {finding.root for finding in shown if finding.root}
    below = published(finding for finding in every if finding.confidence < least(finding) and finding.root not in roots)
    return shown, [finding for finding in below if _shown(finding) not in known]


def _surest(findings: Iterable[Finding]) -> Iterator[Finding]:
    """Replace a finding with the more detailed one from another file's analysis, if that is at least as confident."""
    every = list(findings)
    surer: dict[tuple[str, str, Location, Location], Finding] = {}
    for finding in sorted(every, key=lambda finding: (-finding.confidence, len(finding.trail), finding.message)):
        if finding.seen_from:
            surer.setdefault(_shown(finding)[:4], finding)
    for finding in every:
        better = surer.get(_shown(finding)[:4], finding)
        if not finding.seen_from:
            is_sure = better.confidence >= finding.confidence
            yield replace(better, help=finding.help, fix=finding.fix, seen_from="") if is_sure else finding


def _shown(finding: Finding) -> _Shown:
    return finding.path, finding.code, finding.location, finding.end_location, finding.message


def _shorter(one: Finding, other: Finding) -> Finding:
    """Of two equal findings the more confident one, else that with the shorter trail; with a fix if either has one."""
    best, rest = sorted((one, other), key=lambda finding: (-finding.confidence, len(finding.trail)))
    return best if best.fix is not None else replace(best, fix=rest.fix)


def _nearest(findings: Iterable[Finding]) -> Iterator[Finding]:
    """The findings in order; of those with the same root, derived ones are dropped if another has been reported."""
    every = list(findings)
    reported = {finding.root for finding in every if finding.root and not finding.derived}
    for finding in sorted(every, key=lambda finding: finding.order):
        if finding.root and finding.derived:
            if finding.root in reported:
                continue
            reported.add(finding.root)
        yield finding
