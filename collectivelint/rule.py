"""What a rule is, and how rules are found."""

from __future__ import annotations

import importlib
import pkgutil
import re
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from .plugins import load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .analysis.program import Analysis
    from .finding import Fix, Severity
    from .findings.anchor import Anchored
    from .findings.suppress import Ignore
    from .ir.nodes import Function, Span
    from .settings.model import Settings
    from .source.text import Source, UnreadableError


@dataclass(frozen=True, slots=True)
class Place:
    """A piece of source with what to say about it: a step of a trail before it has been anchored."""

    path: str
    span: Span
    kind: Literal["source", "condition", "call", "collective", "note"]
    text: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a rule yields: a finding before it has been anchored.

    `statement` is the span of the whole statement (suppressions stand on its first or last line); `fix` builds the
    fix on its syntax tree, and is called only when the finding is shown. `root` and `derived` are those of `Finding`.
    """

    path: str
    span: Span
    statement: Span
    function: str
    message: str
    severity: Severity
    trail: tuple[Place, ...] = ()
    help: str = ""
    fix: FixBuilder | None = None
    root: str = ""
    derived: bool = False

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
    ) -> Report:
        """A report about a call that the analysis has kept."""
        function = site.function
        return cls(function.path, site.span, site.statement, function.qualname, message, severity, trail, help, fix)


class Site(Protocol):
    """Something the analysis has kept, with where it stands."""

    @property
    def function(self) -> Function:
        """The function it stands in."""

    @property
    def span(self) -> Span:
        """Where it stands."""

    @property
    def statement(self) -> Span:
        """The statement around it."""


@dataclass(frozen=True, slots=True)
class FixContext:
    """What a fix is built from: the file, its settings, and `anchor`, which parses one statement losslessly."""

    source: Source
    settings: Settings
    anchor: Callable[[Span], Anchored | None]


FixBuilder: TypeAlias = "Callable[[FixContext], Fix | None]"


@dataclass(slots=True)
class Findings:
    """What a rule can ask: the analysis, the files that could not be read, the suppressions nobody needed.

    `text` gives the source of a span on one line, shortened where it is long.
    """

    analysis: Analysis
    unreadable: tuple[tuple[str, UnreadableError], ...]
    text: Callable[[str, Span], str]
    unused_ignores: Callable[[], Iterator[tuple[Source, Ignore, tuple[str, ...]]]] = field(default=lambda: iter(()))


@dataclass(frozen=True, slots=True)
class Rule:
    """The identity of a rule. `default`: it runs without being selected; `last`: after all others."""

    code: str
    name: str
    summary: str
    default: bool = True
    fix: Literal["", "safe", "unsafe", "safe, unsafe"] = ""
    last: bool = False


class RuleModule(Protocol):
    """A module of `rules/`: its docstring is the rule's page."""

    __doc__: str | None
    RULE: Rule

    @staticmethod
    def check(findings: Findings) -> Iterator[Report]:
        """Yield what the rule finds."""


@cache
def _found() -> tuple[dict[str, RuleModule], dict[str, str], tuple[str, ...]]:
    """All rules by code, the distributions that those of others come from, and what is wrong with broken ones."""
    package = importlib.import_module("collectivelint.rules")
    modules: list[Any] = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    ]
    ours: dict[str, RuleModule] = {module.RULE.code: module for module in modules if hasattr(module, "RULE")}
    plugins = load(ours)
    origins = {module.RULE.code: distribution for module, distribution in plugins.modules}
    found = ours | {module.RULE.code: module for module, _ in plugins.modules}
    return dict(sorted(found.items())), origins, plugins.problems


def discover() -> dict[str, RuleModule]:
    """All rules by code: the modules of `collectivelint.rules`, and those that other distributions register."""
    return _found()[0]


def origin(code: str) -> str:
    """The distribution that a rule comes from; nothing for one of ours."""
    return _found()[1].get(code, "")


def problems() -> tuple[str, ...]:
    """What is wrong with the plugins that cannot be used, one message for each."""
    return _found()[2]


def matches(selector: str, rule: Rule) -> bool:
    """Does `CL201`, `CL2`, `rank-conditional` or `ALL` mean this rule?"""
    if selector in ("ALL", rule.name, rule.code):
        return True
    return re.fullmatch(r"[A-Z]{2,}\d*", selector) is not None and rule.code.startswith(selector)


def is_selector(selector: str) -> bool:
    """Does the selector mean any rule at all?"""
    return selector == "ALL" or any(matches(selector, module.RULE) for module in discover().values())


def suggestion(selector: str) -> str:
    """`; did you mean ...?` with the code or name nearest to a misspelt one, or nothing."""
    import difflib

    names = [name for module in discover().values() for name in (module.RULE.code, module.RULE.name)]
    near = difflib.get_close_matches(selector, names, len(names), 0.5)
    likeness = {name: difflib.SequenceMatcher(None, name, selector).ratio() for name in near}
    # Of equally near ones the first, as a table of rules lists them.
    return f"; did you mean `{min(near, key=lambda name: (-likeness[name], name))}`?" if near else ""
