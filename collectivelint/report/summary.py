"""The last line of a report: number of findings and of fixes, and whether the run is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .remedy import applied

if TYPE_CHECKING:
    from ..findings.result import Result


def summary(result: Result, fixed: int = 0) -> str:
    """The last line: how much was found, and what `--fix` could do."""
    text = _counts(result, fixed)
    return f"{text} {failure(result)}".strip() if result.incomplete else text


def failure(result: Result) -> str:
    """A sentence that says why the findings are not all there are, or nothing."""
    return f"The run failed: {result.incomplete}." if result.incomplete else ""


def _counts(result: Result, fixed: int) -> str:
    count = len(result.findings)
    parts = []
    if fixed:
        parts.append(f"Fixed {fixed} finding{'s' * (fixed != 1)}.")
    if not count and not result.files:
        return "Nothing was checked."
    if not count and result.incomplete:
        return " ".join(parts)
    files = result.files - result.missed
    if not count:
        parts.append(f"No findings in {files} file{'s' * (files != 1)}." if not fixed else "None left.")
        return " ".join(parts)
    parts.append(f"Found {count} finding{'s' * (count != 1)} in {files} file{'s' * (files != 1)}.")
    able = [fix for finding in result.findings if (fix := applied(finding)) is not None]
    safe = sum(fix.applicability == "safe" for fix in able)
    unsafe = sum(fix.applicability == "unsafe" for fix in able)
    if safe:
        parts.append(f"{safe} fixable with `--fix`.")
    if unsafe:
        parts.append(f"{unsafe}{' more' * bool(safe)} fixable with `--fix --unsafe-fixes`.")
    return " ".join(parts)
