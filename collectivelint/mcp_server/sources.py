"""The tools about source: lint, explain a rule, show the analysis of a function. They write nothing in a project."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..engine import Linter, shown
from ..findings.confidence import confidence_of
from ..reading import limit_of
from ..registry import discover
from ..report.cells import placed
from ..report.remedy import hunks
from ..report.summary import summary, unshown
from ..selectors import suggestion
from ..server.session import without_known
from ..settings import Resolver, Settings, SettingsError, known_selectors
from ..source.decode import decode
from ..source.discover import discover as discover_files
from ..source.text import UnreadableError
from .results import AnalysisText, Edit, Finding, Findings, RuleText, Step
from .roots import RequestError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..finding import Finding as Found
    from ..report.model import Sources
    from ..source.text import Source
    from .calls import Call
    from .roots import Roots


_NOTHING: Final = "nothing to check: no Python files there, or all are excluded"


def lint(
    call: Call,
    roots: Roots,
    paths: Sequence[str],
    source: str | None,
    filename: str,
    select: Sequence[str],
    min_confidence: str | None,
    limit: int,
) -> Findings:
    """Lint files and folders, or a text as if it were the file `filename`."""
    texts: dict[str, Source] = {}
    if source is None:
        targets = []
    elif paths:
        raise RequestError("give either `paths` or `source`, not both")
    else:
        targets = [roots.inside(filename) if filename else Path("-")]
        if os.path.isdir(targets[0]):
            raise RequestError(f"{filename}: is a folder, not a file")
    resolver = Resolver(_overrides(select, min_confidence))
    if source is None:
        targets = _files(roots, paths, resolver)
    else:
        name = shown(targets[0])
        texts[name] = _decoded(source, name)
    linter = Linter(resolver, texts, cache_folder=call.cache, progress=call.go_on)
    try:
        result = linter.run(targets)
    except SettingsError as error:
        raise RequestError("; ".join(error.problems)) from None
    if not result.files and not result.findings:
        raise RequestError(_NOTHING)
    problems = [*resolver.problems, *result.errors, *result.notices]
    result.findings = without_known(result.findings, linter, resolver, targets[0], problems)
    shown_, sources = placed(result, linter)
    found = [_finding(finding, sources) for finding in shown_.findings[:limit]]
    text = " ".join([summary(result), *(f"{line}." for line in unshown(result))])
    return Findings(text, len(result.findings), found, problems)


def _files(roots: Roots, paths: Sequence[str], resolver: Resolver) -> list[Path]:
    """The files behind paths, without those outside of the roots; raise RequestError if none is left."""
    try:
        found = discover_files([roots.path(path) for path in paths], resolver)
    except SettingsError as error:
        raise RequestError("; ".join(error.problems)) from None
    # What cannot be followed is a finding.
    files = roots.files([*found.files, *(path for path, _ in found.unreadable)])
    if not files:
        raise RequestError(_NOTHING)
    return files


def _overrides(select: Sequence[str], min_confidence: str | None) -> dict[str, Any]:
    # The client reads an unsafe fix before it takes it.
    overrides: dict[str, Any] = {"unsafe_fixes": True}
    if select:
        _, unknown = known_selectors(Settings(select=tuple(select)))
        if unknown:
            raise RequestError("; ".join(unknown))
        overrides["select"] = tuple(select)
    if min_confidence is not None:
        overrides["min_confidence"] = confidence_of(min_confidence)
    return overrides


def _decoded(text: str, name: str) -> Source:
    limit = limit_of(name)
    try:
        data = text.encode()
        if len(data) > limit:
            raise RequestError(f"the source has more than {limit // 1_000_000} MB")
        return decode(data, name)
    except UnreadableError as error:
        raise RequestError(f"{name}:{error.line}:{error.column}: {error.message}") from None
    except UnicodeEncodeError:
        raise RequestError("the source holds half of a surrogate pair") from None


def _finding(finding: Found, sources: Sources) -> Finding:
    fix = finding.fix
    return Finding(
        finding.code,
        finding.name,
        finding.confidence.word,
        f"{finding.path}:{finding.location.row}:{finding.location.column}",
        finding.function,
        finding.message,
        [Step(f"{step.path}:{step.line}", step.text) for step in finding.trail],
        finding.help,
        Edit(fix.applicability, fix.message, "\n".join(hunks(finding, sources))) if fix is not None else None,
    )


def explain(_: Call, rule: str) -> RuleText:
    """The page of a rule, by its code or name."""
    modules = discover().values()
    for module in modules:
        item = module.RULE
        if rule.upper() == item.code or rule == item.name:
            return RuleText(
                item.code, item.name, item.summary, item.default, item.fix or "", (module.__doc__ or "").strip()
            )
    raise RequestError(f"no rule `{rule}`" + suggestion(rule, [module.RULE for module in modules]))


def show_analysis(call: Call, roots: Roots, function: str, paths: Sequence[str]) -> AnalysisText:
    """What is known of each function of this qualified name in these files."""
    from ..report.cells import Cells

    resolver = Resolver()
    targets = _files(roots, paths, resolver)
    linter = Linter(resolver)
    try:
        call.go_on()
        texts, similar, unreadable = linter.explain(targets, function)
    except SettingsError as error:
        raise RequestError("; ".join(error.problems)) from None
    if not texts:
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        broken = "".join(f"; not analysed: {problem}" for problem in unreadable)
        raise RequestError(f"no function `{function}` in {', '.join(paths)}{hint}{broken}")
    return AnalysisText([*map(Cells(linter).analysis, texts)], unreadable)
