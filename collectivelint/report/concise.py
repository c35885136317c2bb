"""One line for each finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..printable import one_line
from . import summary

if TYPE_CHECKING:
    from ..engine import Linter, Result
    from ..finding import Finding


def line(finding: Finding) -> str:
    """`train.py:118:9: CL201 [rank-conditional] message`."""
    place = f"{one_line(finding.path)}:{finding.location.row}:{finding.location.column}"
    return f"{place}: {finding.code} [{finding.name}] {one_line(finding.message)}"


def render(result: Result, linter: Linter, *, colour: bool, fixed: int = 0) -> str:
    """All findings, then the summary; `colour` is not used, since this form is meant for other programs."""
    del linter, colour
    return "\n".join([*map(line, result.findings), summary(result, fixed)]) + "\n"
