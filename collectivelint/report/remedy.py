"""What can be done about a finding: fixes that `--fix` applies, and suggestions that it never does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..source.text import lines

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..finding import Applicability, Finding, Fix
    from .model import Sources

_HOW: Final[Mapping[Applicability, str]] = {
    "safe": "--fix",
    "unsafe": "--fix --unsafe-fixes",
    "display": "by hand: it changes what is done",
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
    """What it is, a fix or a suggestion, and what it does, with how that comes about."""
    kind = "suggestion" if fix.applicability == "display" else "fix"
    return kind, f"{fix.message} ({_HOW[fix.applicability] if fix.edits else 'by hand'})"


def patch(finding: Finding, sources: Sources) -> list[str]:
    """The lines that its edits take away ("- ...") and put in their place ("+ ...")."""
    from difflib import unified_diff

    text = sources.source(finding.path).text
    before = lines(text)
    for edit in sorted(finding.fix.edits if finding.fix is not None else (), key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.content + text[edit.end :]
    changes = [*unified_diff(before, lines(text), n=0)][2:]
    return [f"{line[0]} {line[1:].rstrip()}" for line in changes if not line.startswith("@@")]


def advice(finding: Finding, sources: Sources) -> list[str]:
    """Help, fix and suggestion as lines of plain text."""
    found = [f"help: {finding.help}"] if finding.help else []
    if finding.fix is not None:
        found.append(": ".join(headline(finding.fix)))
        if suggested(finding) is not None:
            found += patch(finding, sources)
    return found
