"""Findings for people: the message, then the trail with its source lines."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from . import summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..engine import Linter, Result
    from ..finding import Applicability, Finding, Step

_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "source": {"fg": "cyan"},
    "condition": {"fg": "yellow"},
    "call": {"fg": "blue"},
    "collective": {"fg": "red"},
    "note": {"dim": True},
}

_FLAGS: Final[Mapping[Applicability, str]] = {
    "safe": "--fix",
    "unsafe": "--fix --unsafe-fixes",
    "display": "by hand: it changes what is done",
}


def render(result: Result, linter: Linter, *, colour: bool, fixed: int = 0) -> str:
    """All findings with their trails, then the summary."""
    style = click.style if colour else _plain
    lines = [line for finding in result.findings for line in _finding(finding, linter, style)]
    return "\n".join([*lines, style(summary(result, fixed), bold=True), *_overview(result)]) + "\n"


#: From how many findings on an overview helps.
_MANY: Final = 15


def _overview(result: Result) -> Iterator[str]:
    """After a long list: what is left by rule, and where to begin."""
    if len(result.findings) < _MANY:
        return
    counts = Counter((finding.code, finding.name) for finding in result.findings)
    for (code, name), count in counts.most_common():
        yield f"{count:6} {code} {name}"
    yield "Read `collectivelint rule CODE` for what a rule is about and how to mend it."
    if any(finding.code == "CL101" and finding.fix is None for finding in result.findings):
        yield "Where the default group is meant, `--fix --explicit-world` writes it down (CL101)."
    yield "To see only what is new from now on, run with `--write-baseline` once."


def _plain(text: str, **_: object) -> str:
    return text


def _finding(finding: Finding, linter: Linter, style: Callable[..., str]) -> Iterator[str]:
    place = style(f"{finding.path}:{finding.location.row}:{finding.location.column}", bold=True)
    code = style(finding.code, fg="red" if finding.severity == "error" else "yellow", bold=True)
    yield f"{place}: {code} [{finding.name}] {finding.message}"
    steps = _steps(finding)
    width = max((len(str(step.line)) for step in steps), default=0)
    elsewhere = ""
    for step in steps:
        if step.path != finding.path and step.path != elsewhere:
            yield style(f"  {' ' * width} --> {step.path}", dim=True)
        elsewhere = step.path
        number = style(f"  {step.line:>{width}} | ", dim=True)
        yield number + linter.line(step.path, step.line) + style(f"   <- {step.text}", **_KINDS.get(step.kind, {}))
    if finding.help:
        yield style("  help: ", bold=True) + finding.help
    if finding.fix is not None and not finding.fix.edits:
        yield style("  fix: ", bold=True) + f"{finding.fix.message} (by hand)"
    elif finding.fix is not None:
        yield style("  fix: ", bold=True) + f"{finding.fix.message} ({_FLAGS[finding.fix.applicability]})"
        if finding.fix.applicability == "display":
            yield from (style(line, fg="green" if line[7] == "+" else "red") for line in _advice(finding, linter))
    yield ""


def _advice(finding: Finding, linter: Linter) -> Iterator[str]:
    """What nobody applies but the reader, as a patch without its header."""
    from difflib import unified_diff

    from ..source import lines

    source = linter.source(finding.path)
    edits = finding.fix.edits if finding.fix is not None else ()
    text = source.text
    for edit in sorted(edits, key=lambda edit: edit.start, reverse=True):
        text = text[: edit.start] + edit.content + text[edit.end :]
    for line in [*unified_diff(lines(source.text), lines(text), n=0)][2:]:
        if not line.startswith("@@"):
            yield f"       {line[0]} {line[1:].rstrip()}"


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
