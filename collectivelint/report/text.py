"""Findings for people: the message, then the trail with its source lines."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from . import summary

if TYPE_CHECKING:
    from rich.console import Console

    from ..engine import Linter, Result
    from ..finding import Finding, Step

_KINDS: Final = {"source": "cyan", "condition": "yellow", "call": "blue", "collective": "red", "note": "dim"}


def render(result: Result, linter: Linter, *, colour: bool, fixed: int = 0) -> str:
    """All findings with their trails, then the summary."""
    if not result.findings:
        # Nothing to lay out: a clean run does not pay for rich.
        return summary(result, fixed) + "\n"
    from rich.console import Console

    out = io.StringIO()
    console = Console(
        file=out, force_terminal=colour, no_color=not colour, highlight=False, soft_wrap=True, emoji=False, markup=False
    )
    for finding in result.findings:
        _finding(console, finding, linter)
    console.print(summary(result, fixed), style="bold")
    return out.getvalue()


def _finding(console: Console, finding: Finding, linter: Linter) -> None:
    from rich.text import Text

    head = Text()
    head.append(f"{finding.path}:{finding.location.row}:{finding.location.column}", "bold")
    head.append(": ")
    head.append(finding.code, "bold red" if finding.severity == "error" else "bold yellow")
    head.append(f" [{finding.name}] {finding.message}")
    console.print(head)
    steps = _steps(finding)
    width = max((len(str(step.line)) for step in steps), default=0)
    elsewhere = ""
    for step in steps:
        if step.path != finding.path and step.path != elsewhere:
            console.print(Text(f"  {' ' * width} --> {step.path}", "dim"))
        elsewhere = step.path
        code = linter.line(step.path, step.line)
        row = Text()
        row.append(f"  {step.line:>{width}} | ", "dim")
        row.append(code)
        row.append(f"   <- {step.text}", _KINDS.get(step.kind, ""))
        console.print(row)
    if finding.help:
        console.print(Text.assemble(("  help: ", "bold"), finding.help))
    if finding.fix is not None and finding.fix.edits:
        flag = "--fix" if finding.fix.applicability == "safe" else "--fix --unsafe-fixes"
        console.print(Text.assemble(("  fix: ", "bold"), f"{finding.fix.message} ({flag})"))
    console.print()


def _steps(finding: Finding) -> list[Step]:
    """The trail with steps on one line made one."""
    kept: list[Step] = []
    for step in finding.trail:
        last = kept[-1] if kept else None
        if last is None or (last.path, last.line) != (step.path, step.line):
            kept.append(step)
        elif step.text not in last.text:
            kept[-1] = replace(step, text=f"{step.text}, {last.text}")
    return kept
