"""Findings as workflow commands of GitHub Actions: annotations beside the changed lines.

Format: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..printable import one_line, printable
from .quote import relative
from .remedy import advice
from .summary import failure
from .sureness import title

if TYPE_CHECKING:
    from ..finding import Finding
    from .model import Document, Sources


def render(document: Document) -> str:
    """One command for each finding; the page behind it has room for the message, its trail and the advice."""
    result = document.result
    commands = [_command(finding, document.sources) for finding in result.findings]
    if result.incomplete:
        commands.append(f"::error title=collectivelint::{_data(printable(failure(result)))}")
    return "".join(f"{command}\n" for command in commands)


def _command(finding: Finding, sources: Sources) -> str:
    properties = {
        "title": title(finding),
        "file": one_line(relative(finding.path)),
        "line": finding.location.row,
        "col": finding.location.column,
        "endLine": finding.end_location.row,
        "endColumn": finding.end_location.column,
    }
    trail = (f"{step.path}:{step.line}: {step.text}" for step in finding.trail)
    lines = [finding.message, *trail, *advice(finding, sources)]
    given = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
    return f"::{finding.severity} {given}::{_data(printable(chr(10).join(lines)))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
