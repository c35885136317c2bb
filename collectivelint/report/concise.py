"""One line for each finding."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..printable import one_line
from .summary import summary, unshown
from .sureness import title

if TYPE_CHECKING:
    from ..finding import Finding
    from .model import Document


def line(finding: Finding) -> str:
    """`train.py:118:9: CL201 [rank-conditional] message`."""
    place = f"{one_line(finding.path)}:{finding.location.row}:{finding.location.column}"
    return f"{place}: {title(finding)} {one_line(finding.message)}"


def render(document: Document) -> str:
    """All findings, then the summary; never with colours, since this form is meant for other programs."""
    result = document.result
    return "\n".join([*map(line, result.findings), summary(result, document.fixed), *unshown(result)]) + "\n"
