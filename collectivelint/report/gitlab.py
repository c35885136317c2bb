"""Findings as a Code Quality report of GitLab.

Format: https://docs.gitlab.com/ci/testing/code_quality/#code-quality-report-format
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..findings.baseline import fingerprints
from .quote import dumps, relative
from .sureness import title

if TYPE_CHECKING:
    from .model import Document

_SEVERITIES = {"error": "major", "warning": "minor"}


def render(document: Document) -> str:
    """A list of issues; the fingerprint of one stays when lines around it move."""
    result = document.result
    issues = [
        {
            "description": f"{title(finding)} {finding.message}",
            "check_name": finding.code,
            "fingerprint": fingerprint,
            "severity": _SEVERITIES[finding.severity],
            "location": {
                "path": relative(finding.path),
                "positions": {
                    "begin": {"line": finding.location.row, "column": finding.location.column},
                    "end": {"line": finding.end_location.row, "column": finding.end_location.column},
                },
            },
        }
        for finding, fingerprint in zip(
            result.findings, fingerprints(result.findings, document.sources.line), strict=True
        )
    ]
    return dumps(issues, indent=2) + "\n"
