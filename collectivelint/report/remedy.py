"""The remedies for a finding: fixes that `--fix` applies, and suggestions that it never applies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..source.text import lines
from .cells import file_and_cell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..finding import Applicability, Finding, Fix
    from .model import Sources

_HOW: Final[Mapping[Applicability, str]] = {
    "safe": "--fix",
    "unsafe": "--fix --unsafe-fixes",
    "display": "by hand: it changes what the program does",
}


def applied(finding: Finding) -> Fix | None:
    """The fix of a finding that `--fix`, or a tool that reads a report, may apply."""
    fix = finding.fix
    return fix if fix is not None and fix.edits and fix.applicability != "display" else None


def suggested(finding: Finding) -> Fix | None:
    """The edits of a finding that only a person should make."""
    fix = finding.fix
    return fix if fix is not None and fix.edits and fix.applicability == "display" else None


def headline(fix: Fix) -> tuple[str, str]:
    """The kind of a remedy, "fix" or "suggestion", and its message with the way to apply it."""
    kind = "suggestion" if fix.applicability == "display" else "fix"
    return kind, f"{fix.message} ({_HOW[fix.applicability] if fix.edits else 'by hand'})"


def patch(finding: Finding, sources: Sources) -> list[str]:
    """The lines that its edits remove ("- ...") and add ("+ ...")."""
    return [f"{line[0]} {line[1:].rstrip()}" for line in hunks(finding, sources) if not line.startswith("@@")]


def hunks(finding: Finding, sources: Sources) -> list[str]:
    """The edits of a finding as a unified diff without header and context; the hunks of a notebook have no line numbers."""
    from difflib import unified_diff

    if finding.fix is None:
        # Its file may be one that cannot be read.
        return []
    text = sources.source(finding.path).text
    before = lines(text)
    for edit in sorted(finding.fix.edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.content + text[edit.end :]
    changes = [line.rstrip("\r\n") for line in unified_diff(before, lines(text), n=0)][2:]
    # Those of a notebook would count the lines of all its cells.
    is_cell = file_and_cell(finding.path)[1] is not None
    return ["@@" if is_cell and line.startswith("@@") else line for line in changes]


def advice(finding: Finding, sources: Sources) -> list[str]:
    """Help, fix and suggestion as lines of plain text."""
    found = [f"help: {finding.help}"] if finding.help else []
    if finding.fix is not None:
        found.append(": ".join(headline(finding.fix)))
        if suggested(finding) is not None:
            found += patch(finding, sources)
    return found
