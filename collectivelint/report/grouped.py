"""Findings under the name of their file."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from ..printable import one_line
from .summary import summary, unshown
from .sureness import title

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..finding import Finding
    from .model import Document


def render(document: Document) -> str:
    """A block for each file, then the summary; without colours."""
    result = document.result
    lines = list(_blocks(result.findings))
    return "\n".join([*lines, summary(result, document.fixed), *unshown(result)]) + "\n"


def _blocks(findings: list[Finding]) -> Iterator[str]:
    for path, some in groupby(findings, key=lambda finding: finding.path):
        yield f"{one_line(path)}:"
        for finding in some:
            place = f"{finding.location.row}:{finding.location.column}"
            yield f"  {place:<7} {title(finding)} {one_line(finding.message)}"
        yield ""
