"""Findings as one page that needs nothing else: to be kept with a job, or sent to a colleague."""

from __future__ import annotations

from html import escape
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

from .. import __version__
from ..registry import discover
from .quote import dumps, quoted
from .remedy import headline, patch
from .summary import summary, unshown

if TYPE_CHECKING:
    from ..finding import Finding
    from .model import Document, Sources

#: Lines shown around that of a finding.
_AROUND: Final = 2


def render(document: Document) -> str:
    """The page; what it shows is in it as JSON, and a script of its own filters it by rule, severity, confidence and file."""
    result = document.result
    data = {
        "findings": [_finding(finding, document.sources) for finding in result.findings],
        "rules": {code: module.RULE.summary for code, module in discover().items()},
    }
    # Inside a script element only `<` can end it.
    text = dumps(data).replace("<", "\\u003c")
    page = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    words = {
        "@SUMMARY@": escape(" ".join([summary(result, document.fixed), *unshown(result)])),
        "@VERSION@": escape(__version__),
        "@DATA@": text,
    }
    for mark, word in words.items():
        page = page.replace(mark, word)
    return page


def _finding(finding: Finding, sources: Sources) -> dict[str, Any]:
    row = finding.location.row
    last = max(row, min(finding.end_location.row, row + _AROUND))
    rows = range(max(1, row - _AROUND), last + _AROUND + 1)
    frame = [(number, quoted(sources.line(finding.path, number))) for number in rows]
    kind, fix = headline(finding.fix) if finding.fix is not None and finding.fix.edits else ("", "")
    return {
        "code": finding.code,
        "name": finding.name,
        "message": finding.message,
        "severity": finding.severity,
        "confidence": finding.confidence.word,
        "path": finding.path,
        "row": row,
        "column": finding.location.column,
        "last": last,
        "function": finding.function,
        "help": finding.help,
        "remedy": kind,
        "fix": fix,
        "patch": patch(finding, sources) if fix else [],
        "frame": frame,
        "trail": [
            {
                "path": step.path,
                "line": step.line,
                "kind": step.kind,
                "text": step.text,
                "code": quoted(sources.line(step.path, step.line)),
            }
            for step in finding.trail
        ],
    }
