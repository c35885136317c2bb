"""Findings as a self-contained HTML page: to be stored with a job, or sent to a colleague."""

from __future__ import annotations

import re
from collections import Counter
from html import escape
from importlib import resources
from itertools import groupby
from typing import TYPE_CHECKING, Final

from .. import __version__, palette
from ..printable import one_line, printable
from ..registry import discover
from .quote import quoted
from .remedy import headline, patch
from .summary import summary, unshown
from .sureness import sureness

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from ..finding import Finding
    from ..rule import RuleModule
    from .model import Document, Sources

#: Lines shown around that of a finding.
_AROUND: Final = 2
_CODE: Final = re.compile(r"`([^`]+)`")
_OPTION: Final = re.compile(r"(?<![\w-])--[a-z][\w-]*")


def render(document: Document) -> str:
    """The page: findings by file, then the documentation of their rules. Its script only filters findings."""
    result = document.result
    findings = result.findings
    counts = Counter(finding.code for finding in findings)
    rules = {code: module for code, module in discover().items() if code in counts}
    names = {finding.code: finding.name for finding in findings}
    places = {
        "PALETTE": palette.of_page(),
        "SUMMARY": f"<h1>{_with_options(summary(result, document.fixed))}</h1>"
        + "".join(f'<p class="faint">{_with_options(line)}</p>' for line in unshown(result)),
        "VERSION": escape(__version__),
        "RULES": "".join(
            f'<label><input type="checkbox" value="{escape(code)}"> {escape(code)} {escape(names[code])} <b>{count}</b></label>'
            for code, count in sorted(counts.items())
        ),
        "FINDINGS": "".join(_files(findings, document.sources, rules)),
        "PAGES": "".join(_page(code, module) for code, module in rules.items()),
    }
    template = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    # All places at once: what stands in one of them may look like another.
    return re.sub("@(" + "|".join(places) + ")@", lambda match: places[match[1]], template)


def _text(text: str) -> str:
    return escape(printable(text))


def _code(text: str) -> str:
    """Text as HTML, with `<code>` for what is in backticks."""
    return _CODE.sub(r"<code>\1</code>", _text(text))


def _with_options(text: str) -> str:
    """The same; an option such as `--min-confidence low` is kept on one line, unbroken at its hyphens."""
    return _OPTION.sub(r'<span class="option">\g<0></span>', _code(text))


def _files(findings: Iterable[Finding], sources: Sources, rules: Mapping[str, RuleModule]) -> Iterator[str]:
    for path, group in groupby(findings, key=lambda finding: finding.path):
        rows = [*group]
        count = f"{len(rows)} finding{'s' * (len(rows) != 1)}"
        yield f'<section class="file"><h2>{escape(one_line(path))} <span class="faint">{count}</span></h2>'
        for finding in rows:
            yield from _finding(finding, sources, rules)
        yield "</section>"


def _finding(finding: Finding, sources: Sources, rules: Mapping[str, RuleModule]) -> Iterator[str]:
    row = finding.location.row
    words = escape(one_line(f"{finding.path} {finding.function} {finding.message}".lower()))
    yield (
        f'<article class="{finding.severity}" data-code="{escape(finding.code)}" data-severity="{finding.severity}"'
        f' data-confidence="{finding.confidence.word}" data-text="{words}"><p class="head">'
    )
    title = f"{escape(finding.code)} {escape(finding.name)}"
    yield f'<a class="rule" href="#{escape(finding.code)}">{title}</a>' if finding.code in rules else f"<b>{title}</b>"
    how = " · ".join(filter(None, [finding.severity, sureness(finding)]))
    yield f' <span class="place">{escape(one_line(finding.path))}:{row}:{finding.location.column}</span>'
    yield f' <span class="faint">{f"in <code>{_text(finding.function)}</code> · " if finding.function else ""}{how}</span></p>'
    yield f'<h3>{_code(finding.message)}</h3><div class="inside">'
    last = max(row, min(finding.end_location.row, row + _AROUND))
    yield _frame(finding.path, range(max(1, row - _AROUND), last + _AROUND + 1), range(row, last + 1), sources)
    yield from _trail(finding, sources)
    if finding.help:
        yield f"<p><b>help</b> {_code(finding.help)}</p>"
    if finding.fix is not None and finding.fix.edits:
        kind, text = headline(finding.fix)
        lines = "".join(
            f'<span class="{"added" if line[0] == "+" else "removed"}">{_text(line)}</span>'
            for line in patch(finding, sources)
        )
        yield f'<p><b>{kind}</b> {_code(text)}</p><pre class="src patch">{lines}</pre>'
    yield "</div></article>"


def _frame(path: str, rows: range, here: range, sources: Sources) -> str:
    lines = [(row, quoted(sources.line(path, row))) for row in rows]
    while lines and not lines[-1][1].strip() and lines[-1][0] not in here:
        lines.pop()
    text = "".join(
        f"<span{' class=here' * (row in here)}><i>{row}</i>{_text(line) or ' '}</span>" for row, line in lines
    )
    return f'<pre class="src" tabindex="0">{text}</pre>'


def _trail(finding: Finding, sources: Sources) -> Iterator[str]:
    """Each step with its source line; the file is shown before the first of its steps."""
    if not finding.trail:
        return
    yield '<ol class="trail">'
    path = finding.path
    for step in finding.trail:
        place = f'<span class="place">{escape(one_line(step.path))}</span>' if step.path != path else ""
        path = step.path
        line = _text(quoted(sources.line(step.path, step.line)).strip())
        yield (
            f'<li class="{step.kind}">{place}<i>{step.line}</i> <code>{line}</code>'
            f' <span class="step">{_code(step.text)}</span></li>'
        )
    yield "</ol>"


def _page(code: str, module: RuleModule) -> str:
    """What a rule finds, why it is bad and how to fix it: its docstring, folded."""
    from markdown_it import MarkdownIt

    rule = module.RULE
    # Without "html": what looks like a tag in a page is text.
    html = MarkdownIt("commonmark", {"html": False}).enable("table").render((module.__doc__ or "").strip())
    return (
        f'<details class="page" id="{escape(code)}"><summary><b>{escape(code)} {escape(rule.name)}</b>'
        f" <span>{_code(rule.summary)}</span></summary>{html}</details>"
    )
