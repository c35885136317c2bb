"""Findings as JSON, in the shape of ruff's, with the function and the trail added."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .cells import file_and_cell
from .quote import dumps
from .remedy import applied, suggested

if TYPE_CHECKING:
    from ..finding import Finding, Fix, Location, Step
    from .model import Document


def render(document: Document) -> str:
    """A list of findings. Rows and columns count from 1, columns in characters; paths are as in the other formats.

    `confidence` is how sure the finding is: "high", "medium" or "low". `fix` is what a tool may apply, as its `applicability` says; `suggestion` are edits that only a person should make.
    """
    return dumps([as_dict(finding) for finding in document.result.findings], indent=2) + "\n"


def as_dict(finding: Finding) -> dict[str, Any]:
    """One finding as plain data; in a notebook rows are those of the cell with this number."""
    file, cell = file_and_cell(finding.path)
    return {
        "code": finding.code,
        "name": finding.name,
        "message": finding.message,
        "severity": finding.severity,
        "confidence": finding.confidence.word,
        "filename": file,
        "cell": cell,
        "location": _location(finding.location),
        "end_location": _location(finding.end_location),
        "function": finding.function,
        "help": finding.help,
        "fix": _fix(applied(finding)),
        "suggestion": _fix(suggested(finding)),
        "trail": [_step(step) for step in finding.trail],
    }


def _step(step: Step) -> dict[str, Any]:
    file, cell = file_and_cell(step.path)
    return {"path": file, "cell": cell, "line": step.line, "kind": step.kind, "text": step.text}


def _location(location: Location) -> dict[str, int]:
    return {"row": location.row, "column": location.column}


def _fix(fix: Fix | None) -> dict[str, Any] | None:
    if fix is None:
        return None
    return {
        "applicability": fix.applicability,
        "message": fix.message,
        "edits": [
            {
                "content": edit.content,
                "location": _location(edit.location),
                "end_location": _location(edit.end_location),
            }
            for edit in fix.edits
        ],
    }
