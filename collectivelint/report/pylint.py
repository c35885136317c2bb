"""Findings as pylint writes them, for tools that read its output: `train.py:118: [CL201] message`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..printable import one_line
from .quote import relative
from .summary import failure
from .sureness import sureness

if TYPE_CHECKING:
    from ..finding import Finding
    from .model import Document


def render(document: Document) -> str:
    """A line for each finding, and one for a run that is not complete."""
    result = document.result
    lines = [_line(finding) for finding in result.findings]
    if result.incomplete:
        lines.append(one_line(failure(result)))
    return "".join(f"{line}\n" for line in lines)


def _line(finding: Finding) -> str:
    how = sureness(finding)
    place = f"{one_line(relative(finding.path))}:{finding.location.row}"
    return f"{place}: [{finding.code}] {one_line(finding.message)}" + (f" ({how})" if how else "")
