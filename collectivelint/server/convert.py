"""Findings and fixes in the types of the Language Server Protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from lsprotocol import types as lsp

from ..findings.confidence import Confidence
from ..registry import discover
from ..report.remedy import headline, suggested
from ..report.sureness import sureness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ..finding import Edit, Finding, Location, Severity, Step
    from ..source.text import Source

#: How many units a text has, by the encoding that client and server have agreed on.
_UNITS: Final[Mapping[str, Callable[[str], int]]] = {
    lsp.PositionEncodingKind.Utf8.value: lambda text: len(text.encode()),
    lsp.PositionEncodingKind.Utf16.value: lambda text: len(text.encode("utf-16-le")) // 2,
    lsp.PositionEncodingKind.Utf32.value: len,
}
_SEVERITIES: Final[Mapping[Severity, lsp.DiagnosticSeverity]] = {
    "error": lsp.DiagnosticSeverity.Error,
    "warning": lsp.DiagnosticSeverity.Warning,
}
_LOW: Final = lsp.DiagnosticSeverity.Information
_TAGS: Final[Mapping[str, lsp.DiagnosticTag]] = {
    "deprecated-collective": lsp.DiagnosticTag.Deprecated,
    "redundant-barrier": lsp.DiagnosticTag.Unnecessary,
    "unused-ignore": lsp.DiagnosticTag.Unnecessary,
}


class Converter:
    """Positions count in the units of the client; `line` gives the text of a line of any file of the program."""

    def __init__(self, encoding: str, line: Callable[[str, int], str]) -> None:
        """`encoding` is one of `PositionEncodingKind`."""
        self._units, self._line = _UNITS[encoding], line

    def diagnostic(self, finding: Finding) -> lsp.Diagnostic:
        """A finding, with its trail as related places."""
        tag = _TAGS.get(finding.name)
        return lsp.Diagnostic(
            range=self._range(finding.path, finding.location, finding.end_location),
            message="\n".join((_message(finding), *self._advice(finding))),
            # An editor marks what is not sure less than what is.
            severity=_SEVERITIES[finding.severity] if finding.confidence > Confidence.LOW else _LOW,
            code=finding.code,
            code_description=_description(finding.code),
            source="collectivelint",
            tags=[tag] if tag is not None else None,
            data={"confidence": finding.confidence.word},
            related_information=[self._related(step) for step in finding.trail],
        )

    def _advice(self, finding: Finding) -> Iterator[str]:
        """The help, and remedies for which the editor offers no action."""
        if finding.help:
            yield f"help: {finding.help}"
        if finding.fix is not None and suggested(finding) is not None:
            yield ": ".join(headline(finding.fix))

    def edit(self, path: str, change: Edit) -> lsp.TextEdit:
        """One edit of a fix."""
        return lsp.TextEdit(self._range(path, change.location, change.end_location), change.content)

    def characters(self, source: Source, position: lsp.Position) -> tuple[int, int]:
        """Line (from 1) and character column (from 0) of a position of the client."""
        text = source.line(position.line + 1)
        column = next((at for at in range(len(text) + 1) if self._units(text[:at]) >= position.character), len(text))
        return position.line + 1, column

    def _range(self, path: str, start: Location, end: Location) -> lsp.Range:
        return lsp.Range(self._position(path, start), self._position(path, end))

    def _position(self, path: str, place: Location) -> lsp.Position:
        return lsp.Position(place.row - 1, self._units(self._line(path, place.row)[: place.column - 1]))

    def _related(self, step: Step) -> lsp.DiagnosticRelatedInformation:
        text = self._line(step.path, step.line)
        start = self._units(text[: len(text) - len(text.lstrip())])
        place = lsp.Range(lsp.Position(step.line - 1, start), lsp.Position(step.line - 1, self._units(text)))
        return lsp.DiagnosticRelatedInformation(lsp.Location(uri(step.path), place), step.text)


def _message(finding: Finding) -> str:
    how = sureness(finding)
    return finding.message + (f" ({how})" if how else "")


def uri(path: str) -> str:
    """A path as a URI."""
    return Path(path).absolute().as_uri()


def overlapping(findings: Iterable[Finding], first: int, last: int) -> list[Finding]:
    """The findings that stand on these lines (from 1)."""
    return [finding for finding in findings if finding.location.row <= last and finding.end_location.row >= first]


def note(finding: Finding) -> str:
    """A finding's rule in a line of Markdown, with a link to its documentation."""
    rule = discover()[finding.code].RULE
    described = _description(finding.code)
    code = f"[{rule.code}]({described.href})" if described is not None else rule.code
    return f"{code} {rule.name}: {rule.summary}"


def _description(code: str) -> lsp.CodeDescription | None:
    """The documentation of a rule: its docstring, in the file of its module."""
    file = discover()[code].__file__
    return lsp.CodeDescription(uri(file)) if file else None
