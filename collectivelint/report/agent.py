"""Findings for assistants that write code: each fact once, in as few characters as keep it exact.

A finding is `CODE confidence path:line message`. Below it `why` has the trail, as `path:line text` joined by arrows, without the path
where that is the one before; then the fix, `safe`, `unsafe` (read it first) or `by hand`, with its edit as a unified diff without header
and context; or `help` where there is no edit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..printable import one_line, printable
from .remedy import hunks
from .summary import failure, unshown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..finding import Applicability, Finding
    from .model import Document, Sources

_HOW: Final[Mapping[Applicability, str]] = {"safe": "safe fix", "unsafe": "unsafe fix", "display": "by hand"}


def render(document: Document) -> str:
    """All findings, then their number and that of files, why the run is incomplete if it is, and what is not shown."""
    result = document.result
    lines = [line for finding in result.findings for line in _finding(finding, document.sources)]
    count, files = len(result.findings), result.files - result.missed
    fixed = f", {document.fixed} fixed" if document.fixed else ""
    lines.append(f"{count} finding{'s' * (count != 1)}, {files} file{'s' * (files != 1)}{fixed}")
    if result.incomplete:
        lines.append(failure(result))
    lines += unshown(result)
    return "".join(f"{line}\n" for line in lines)


def _finding(finding: Finding, sources: Sources) -> Iterator[str]:
    here = finding.path, finding.location.row
    yield f"{finding.code} {finding.confidence.word} {one_line(here[0])}:{here[1]} {one_line(finding.message)}"
    # A trail of the finding's own line says nothing new.
    if [(step.path, step.line) for step in finding.trail] not in ([], [here]):
        yield f" why {' -> '.join(_trail(finding))}"
    edits = hunks(finding, sources)
    if finding.help and not edits:
        yield f" help {one_line(finding.help)}"
    if finding.fix is not None:
        yield f" {_HOW[finding.fix.applicability]}: {one_line(finding.fix.message)}"
        yield from map(printable, edits)


def _trail(finding: Finding) -> Iterator[str]:
    file = finding.path
    for step in finding.trail:
        path = one_line(step.path) if step.path != file else ""
        yield f"{path}:{step.line} {one_line(step.text)}"
        file = step.path
