"""The source around a call: from its file if unchanged since the run, else the one line that the trace has."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal, TypeAlias

#: Lines of source on each side of the call, on the way to it, and the largest file in bytes that is read for them.
_AROUND: Final = 2
_WAY: Final = 10
_LARGEST: Final = 1 << 20

#: "here": the call; "way": the time of a slow rank goes there; "call": the call that it comes late to.
Mark: TypeAlias = Literal["", "here", "way", "call"]


@dataclass(frozen=True, slots=True)
class Source:
    """Lines with their numbers and marks. `problem`: why they may not be those that ran; "" if they are.

    `is_current`: the file still has the line of the call as the trace has it.
    """

    lines: tuple[tuple[int, str, Mark], ...] = ()
    problem: str = ""
    is_current: bool = False


def around(place: str, recorded: str, since: float) -> Source:
    """The lines around a call. `recorded`: its line as the trace has it; `since`: when the run began, in seconds since the epoch."""
    path, _, number = place.rpartition(":")
    if not number.isdigit():
        return Source()
    here = int(number)
    lines, problem = _read(path)
    if not problem and not 0 < here <= len(lines):
        problem = f"There is no line {here} in {path} any more: it has changed since the run."
    elif not problem and recorded and lines[here - 1].strip() != recorded.strip():
        problem = f"Line {here} of {path} has changed since the run."
    if not recorded:
        return Source(
            problem=f"{problem or f'Whether {path} has changed since the run is not known.'} The trace holds no text of line {here}."
        )
    if problem:
        return Source(((here, recorded.strip(), "here"),), f"{problem} Shown is the line that the trace holds.")
    shown = range(max(1, here - _AROUND), min(len(lines), here + _AROUND) + 1)
    changed = f"The file {path} has changed since the run, the marked line has not." if _changed(path) > since else ""
    return Source(tuple((line, lines[line - 1], "here" if line == here else "") for line in shown), changed, True)


def on_the_way(source: Source, before: str, after: str) -> Source:
    """The source of call `after`, with the lines marked that its rank ran between call `before` and it.

    These are the lines of the function up to the call; if a loop contains both calls, those of the loop. No line is
    marked if they cannot be determined.
    """
    path, _, number = after.rpartition(":")
    other, _, earlier = before.rpartition(":")
    here, there = int(number), int(earlier) if other == path else 0
    lines, problem = _read(path)
    if problem or not source.is_current:
        return source
    try:
        tree = ast.parse("\n".join(lines))
    except (SyntaxError, ValueError, RecursionError):
        return source
    first = 1
    for node in ast.walk(tree):
        # From the outside in: the innermost one counts.
        match node:
            case ast.FunctionDef(body=body) | ast.AsyncFunctionDef(body=body) if _has(node, here):
                first = body[0].lineno
            case ast.For(body=body) | ast.AsyncFor(body=body) | ast.While(body=body) if _has(node, here) and _has(
                node, there
            ):
                first = body[0].lineno
    if first <= there < here:
        first = 1 + max(
            (
                node.end_lineno or there
                for node in ast.walk(tree)
                if isinstance(node, ast.Expr | ast.Assign) and node.lineno <= there <= (node.end_lineno or 0)
            ),
            default=there,
        )
    first = max(first, here - _WAY)
    if first >= here:
        return source
    shown = range(min(first, source.lines[0][0]), source.lines[-1][0] + 1)
    marks: dict[int, Mark] = {line: "way" for line in range(first, here) if lines[line - 1].strip()}
    marks[here] = "call"
    return replace(source, lines=tuple((line, lines[line - 1], marks.get(line, "")) for line in shown))


def _has(node: ast.stmt, line: int) -> bool:
    return node.lineno <= line <= (node.end_lineno or 0)


def _read(path: str) -> tuple[list[str], str]:
    """The lines of a file, and the error if it cannot be read."""
    file = Path(path)
    try:
        if not file.is_file():
            return [], f"There is no file {path if file.is_absolute() else f'{path} in {Path.cwd()}'}."
        if file.suffix != ".py" or file.stat().st_size > _LARGEST:
            return [], f"The file {path} is no Python file, or a very large one."
        return file.read_text(encoding="utf-8", errors="replace").splitlines(), ""
    except (OSError, ValueError):
        return [], f"The file {path} cannot be read."


def _changed(path: str) -> float:
    try:
        return Path(path).stat().st_mtime
    except OSError:
        return 0.0
