"""What differs between the accepted findings and those of now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .findings import Finding


@dataclass(frozen=True, slots=True)
class Change:
    """A finding that came, went, or is said with another confidence or message."""

    kind: str  # "new", "gone", "confidence" or "message"
    finding: Finding
    before: Finding | None = None


def differences(before: Iterable[Finding], after: Iterable[Finding]) -> list[Change]:
    """Each change, by repository, path and line.

    Findings correspond by repository, path, line and rule. Several of one rule on one line are taken in order.
    """
    old: dict[tuple[str, str, int, str], list[Finding]] = defaultdict(list)
    for finding in sorted(before):
        old[_place(finding)].append(finding)
    changes = []
    for finding in sorted(after):
        known = old.get(_place(finding))
        if not known:
            changes.append(Change("new", finding))
            continue
        same = finding if finding in known else known[0]
        known.remove(same)
        if same.confidence != finding.confidence:
            changes.append(Change("confidence", finding, same))
        elif same.message != finding.message:
            changes.append(Change("message", finding, same))
    changes += [Change("gone", finding) for left in old.values() for finding in left]
    return sorted(changes, key=lambda change: (_place(change.finding), change.kind))


def _place(finding: Finding) -> tuple[str, str, int, str]:
    return finding.repository, finding.path, finding.line, finding.code


def table(changes: Iterable[Change]) -> str:
    """The changes as a Markdown table for a review."""
    rows = ["| repository | place | rule | change | message |", "|---|---|---|---|---|"]
    for change in changes:
        finding = change.finding
        said = change.kind
        if change.before is not None and change.kind == "confidence":
            said = f"{change.before.confidence} → {finding.confidence}"
        elif change.kind in ("new", "gone"):
            said = f"{change.kind} ({finding.confidence})"
        message = finding.message.replace("|", "\\|")
        rows.append(f"| {finding.repository} | `{finding.path}:{finding.line}` | {finding.code} | {said} | {message} |")
    return "\n".join(rows) if len(rows) > 2 else "No finding differs."
