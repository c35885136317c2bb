"""Updates cached findings whose trails refer to lines of other files, after those lines have shifted."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..finding import Finding
    from ..program.line_table import LineTable

#: By file that has changed: where its statements were, and where they are.
Moves: TypeAlias = "Mapping[str, tuple[LineTable, LineTable]]"
#: A line of a file that the text does not name.
_LINE: Final = re.compile(r"\(line \d+\)")


def after_moves(findings: Sequence[Finding], moves: Moves) -> list[Finding] | None:
    """The findings with updated lines; None if a line no longer exists, or is named in a message.

    A finding that one file's analysis reports in another file gives None too: its columns and fixes would be outdated.
    """
    found: list[Finding] = []
    for finding in findings:
        now = _after_moves(finding, moves)
        if now is None:
            return None
        found.append(now)
    return found


def _after_moves(finding: Finding, moves: Moves) -> Finding | None:
    texts = list(_texts(finding))
    if finding.path in moves or any(f"{path}:" in text for path in moves for text in texts):
        return None
    root = _root(finding.root, moves)
    steps = []
    for step in finding.trail:
        line: int | None = step.line
        if step.path in moves:
            before, now = moves[step.path]
            line = before.moved(now, step.line)
        if line is None:
            return None
        steps.append(step if line == step.line else replace(step, line=line))
    if root is None:
        return None
    trail = tuple(steps)
    if (trail, root) == (finding.trail, finding.root):
        return finding
    return None if any(map(_LINE.search, texts)) else replace(finding, trail=trail, root=root)


def _texts(finding: Finding) -> Iterator[str]:
    """The texts of a finding: its message, help, trail, and fix."""
    yield finding.message
    yield finding.help
    yield from (step.text for step in finding.trail)
    if finding.fix is not None:
        yield finding.fix.message
        yield finding.fix.caution
        yield from (edit.content for edit in finding.fix.edits)


def _root(root: str, moves: Moves) -> str | None:
    """The updated `root` (kind, file, line, column) of a finding; "" stays "", None if the line no longer exists."""
    head, *place = root.rsplit(":", 2)
    for path, (before, now) in moves.items():
        if head.endswith(f" {path}") and len(place) == 2:
            line = before.moved(now, int(place[0])) if place[0].isdecimal() else None
            return None if line is None else f"{head}:{line}:{place[1]}"
    return root
