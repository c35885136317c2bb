"""The confidence of a finding, as reports for people show it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..findings.confidence import Confidence

if TYPE_CHECKING:
    from ..finding import Finding


def sureness(finding: Finding) -> str:
    """`medium confidence` or `low confidence`; empty for high, which most findings have."""
    return "" if finding.confidence is Confidence.HIGH else f"{finding.confidence.word} confidence"


def title(finding: Finding) -> str:
    """`CL201 [rank-conditional]`, with any confidence below high: `CL203 [local-condition] (medium confidence)`."""
    how = sureness(finding)
    return f"{finding.code} [{finding.name}]" + (f" ({how})" if how else "")
