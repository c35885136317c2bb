"""The interface of rules: their identity, what they can query, what they yield, and what fixes are built from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from .findings.confidence import Confidence
from .rule_id import Rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .analysis.program import Analysis
    from .finding import Fix, Severity
    from .findings.anchor import Anchored
    from .findings.suppress import Ignore
    from .ir.nodes import Function, Span
    from .settings.model import Settings
    from .source.text import Source, UnreadableError

__all__ = ["Confidence", "Findings", "FixBuilder", "FixContext", "Place", "Report", "Rule", "RuleModule", "Site"]


@dataclass(frozen=True, slots=True)
class Place:
    """A step of a trail before it has been anchored: a span of source and what the trail says about it."""

    path: str
    span: Span
    kind: Literal["source", "condition", "call", "collective", "note"]
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a rule yields: a finding before it has been anchored."""

    path: str
    span: Span
    #: The whole statement: suppressions stand on its first or last line.
    statement: Span
    #: Qualified name of the function around it.
    function: str
    message: str
    severity: Severity
    trail: tuple[Place, ...] = ()
    help: str = ""
    #: Builds the fix on the statement's syntax tree; called only when the finding is shown.
    fix: FixBuilder | None = None
    #: As in `Finding`.
    root: str = ""
    derived: bool = False
    confidence: Confidence = Confidence.HIGH
    seen_from: str = ""
    api: str = ""

    @classmethod
    def at(
        cls,
        site: Site,
        *,
        message: str,
        severity: Severity,
        trail: tuple[Place, ...] = (),
        help: str = "",  # noqa: A002  # the name it has in a finding
        fix: FixBuilder | None = None,
        confidence: Confidence = Confidence.HIGH,
        api: str = "",
    ) -> Report:
        """A report about a call, or something else that the analysis recorded with its place."""
        function = site.function
        place = (function.path, site.span, site.statement, function.qualname)
        return cls(*place, message, severity, trail, help, fix, confidence=confidence, api=api)


class Site(Protocol):
    """Something that the analysis recorded, with its place."""

    @property
    def function(self) -> Function:
        """The enclosing function."""

    @property
    def span(self) -> Span:
        """Its span."""

    @property
    def statement(self) -> Span:
        """The span of the enclosing statement."""


@dataclass(frozen=True, slots=True)
class FixContext:
    """What a fix is built from."""

    #: The file and its settings.
    source: Source
    settings: Settings
    #: Parses the statement at a span losslessly; None where no statement stands there.
    anchor: Callable[[Span], Anchored | None]


FixBuilder: TypeAlias = "Callable[[FixContext], Fix | None]"


@dataclass(slots=True)
class Findings:
    """What a rule can query."""

    analysis: Analysis
    #: The files that could not be read, with the reason.
    unreadable: tuple[tuple[str, UnreadableError], ...]
    #: The source of a span of a file on one line, shortened where it is long.
    text: Callable[[str, Span], str]
    #: The suppressions that silenced nothing, with the codes that were not needed.
    unused_ignores: Callable[[], Iterator[tuple[Source, Ignore, tuple[str, ...]]]] = field(default=lambda: iter(()))


class RuleModule(Protocol):
    """The module of a rule; its docstring is the rule's page."""

    __doc__: str | None
    __file__: str | None
    RULE: Rule

    @staticmethod
    def check(findings: Findings) -> Iterator[Report]:
        """Yield a report for each finding."""
