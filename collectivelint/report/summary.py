"""The last lines of a report: number of findings and of fixes, whether the run is complete, and what is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..finding import MISSING_GROUP
from ..findings.confidence import Confidence
from .remedy import applied

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..finding import Finding
    from ..findings.result import Result


def summary(result: Result, fixed: int = 0) -> str:
    """The last line: how many findings there are, and how many `--fix` could fix."""
    text = _counts(result, fixed)
    return f"{text} {failure(result)}".strip() if result.incomplete else text


def unshown(result: Result) -> Iterator[str]:
    """A line about the findings below the shown confidence, with the option that shows them."""
    left = [finding.confidence for finding in result.hidden if not _is_groupless(finding)]
    if left:
        degrees = " or ".join(degree.word for degree in sorted(set(left), reverse=True))
        are, them = ("are", "them") if len(left) != 1 else ("is", "it")
        yield (
            f"{len(left)} possible finding{'s' * (len(left) != 1)} of {degrees} confidence {are} not shown: "
            f"--min-confidence {min(left).word} lists {them}"
        )
    count = len(result.hidden) - len(left)
    if count:
        have, them = ("have", "them") if count != 1 else ("has", "it")
        where = "nothing shows that one is meant" if result.has_groups else "this program creates no other groups"
        yield (
            f"{count} collective{'s' * (count != 1)} {have} no `group` argument; {where}: --select {MISSING_GROUP} lists {them}, "
            "--fix --explicit-world writes the default group"
        )


def _is_groupless(finding: Finding) -> bool:
    """Whether the finding is only that a collective has no group, without evidence that it needs one."""
    return finding.code == MISSING_GROUP and finding.confidence is Confidence.LOW


def failure(result: Result) -> str:
    """The reason why the list of findings is incomplete, as a sentence; empty if it is complete."""
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
