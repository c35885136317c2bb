"""Findings for people: the message, then the trail with its source lines."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import click

from ..printable import one_line, printable
from .hyperlink import to_rule
from .quote import quoted
from .remedy import headline, patch, suggested
from .summary import summary, unshown
from .sureness import sureness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ..finding import Finding
    from ..findings.result import Result
    from .model import Document

_KINDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "source": {"fg": "cyan"},
    "condition": {"fg": "yellow"},
    "call": {"fg": "blue"},
    "collective": {"fg": "red"},
    "note": {"dim": True},
}


def render(document: Document) -> str:
    """All findings with their trails, then the summary."""
    result = document.result
    style = click.style if document.colour else _plain
    lines = [line for finding in result.findings for line in _finding(finding, document, style)]
    return (
        "\n".join([*lines, style(summary(result, document.fixed), bold=True), *unshown(result), *_overview(result)])
        + "\n"
    )


#: From how many findings on an overview helps.
_MANY: Final = 15


def _overview(result: Result) -> Iterator[str]:
    """After a long list: the number of findings by rule, and where to begin."""
    if len(result.findings) < _MANY:
        return
    counts = Counter((finding.code, finding.name) for finding in result.findings)
    for (code, name), count in counts.most_common():
        yield f"{count:6} {code} {name}"
    yield "`collectivelint rule CODE` explains a rule and how to fix its findings."
    if any(finding.code == "CL101" and finding.fix is None for finding in result.findings):
        yield "Where the default group is meant, `--fix --explicit-world` writes it (CL101)."
    yield "`--write-baseline` writes the existing findings to a baseline: with it, later runs report only new ones."


def _plain(text: str, **_: object) -> str:
    return text


def _finding(finding: Finding, document: Document, style: Callable[..., str]) -> Iterator[str]:
    sources = document.sources
    place = style(f"{one_line(finding.path)}:{finding.location.row}:{finding.location.column}", bold=True)
    code = style(finding.code, fg="red" if finding.severity == "error" else "yellow", bold=True)
    code = to_rule(finding.code, code) if document.links else code
    how = sureness(finding)
    name = f"[{finding.name}]" + (style(f" ({how})", dim=True) if how else "")
    yield f"{place}: {code} {name} {printable(finding.message)}"
    width = max((len(str(step.line)) for step in finding.trail), default=0)
    file = finding.path
    for step in finding.trail:
        if step.path != file:
            yield style(f"  {' ' * width} --> {one_line(step.path)}", dim=True)
        file = step.path
        number = style(f"  {step.line:>{width}} | ", dim=True)
        code = printable(quoted(sources.line(step.path, step.line)))
        yield number + code + style(f"   <- {printable(step.text)}", **_KINDS.get(step.kind, {}))
    if finding.help:
        yield style("  help: ", bold=True) + printable(finding.help)
    if finding.fix is not None:
        kind, text = headline(finding.fix)
        yield style(f"  {kind}: ", bold=True) + printable(text)
    if suggested(finding) is not None:
        for line in patch(finding, sources):
            yield style(f"       {printable(line)}", fg="green" if line[0] == "+" else "red")
    yield ""
