"""Findings of the cache after lines of other files have moved: their trails lead to where the same statements are now."""

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
    """The findings with the lines of now; None where a line is not there any more, or stands in a text.

    What one file tells of another one is found again as well: its columns and fixes are those of before.
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
    """What it says, beside its trail."""
    yield finding.message
    yield finding.help
    yield from (step.text for step in finding.trail)
    if finding.fix is not None:
        yield finding.fix.message
        yield finding.fix.caution
        yield from (edit.content for edit in finding.fix.edits)


def _root(root: str, moves: Moves) -> str | None:
    """What findings of one cause share: a kind, a file, a line and a column; empty where there is no such cause."""
    head, *place = root.rsplit(":", 2)
    for path, (before, now) in moves.items():
        if head.endswith(f" {path}") and len(place) == 2:
            line = before.moved(now, int(place[0])) if place[0].isdecimal() else None
            return None if line is None else f"{head}:{line}:{place[1]}"
    return root
