"""Guards: the conditions of effect terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..record import Record

if TYPE_CHECKING:
    from ..ir.nodes import Span
    from .domain.causes import Cause
    from .domain.symbol import Symbol


class Guard(Record):
    """One condition. `symbol` identifies it; `own` says that it has to be judged in the function whose term this is.

    `maybe`: it varies only under some configurations. `positive`: the condition as it is written at `span` holds where the symbol does; otherwise it is its negation.
    `subject`: what `match` compares with the pattern at `span`.

    `chosen`: the parameter that decides it alone, and the constant for which it holds (UNKNOWN: if it is true). `ways`: it
    picks one of that many overrides of a method.
    """

    __slots__ = (
        "causes",
        "chosen",
        "depends",
        "maybe",
        "one",
        "own",
        "path",
        "positive",
        "span",
        "statement",
        "subject",
        "symbol",
        "varies",
        "ways",
    )

    def __init__(
        self,
        symbol: Symbol,
        varies: frozenset[Symbol],
        causes: tuple[Cause, ...],
        depends: frozenset[str],
        one: bool | None,
        path: str,
        span: Span,
        statement: Span,
        positive: bool = True,
        own: bool = True,
        maybe: bool = False,
        chosen: tuple[str, object] | None = None,
        ways: int = 2,
        subject: Span | None = None,
    ) -> None:
        self.symbol: Final = symbol
        self.varies: Final = varies
        self.causes: Final = causes
        self.depends: Final = depends
        self.one: Final = one
        self.path: Final = path
        self.span: Final = span
        self.statement: Final = statement
        self.positive: Final = positive
        self.own: Final = own
        self.maybe: Final = maybe
        self.chosen: Final = chosen
        self.ways: Final = ways
        self.subject: Final = subject

    def _fields(self) -> tuple[object, ...]:
        return (
            self.symbol,
            self.varies,
            self.causes,
            self.depends,
            self.one,
            self.path,
            self.span,
            self.statement,
            self.positive,
            self.own,
            self.maybe,
            self.chosen,
            self.ways,
            self.subject,
        )

    def written_at(self, path: str, span: Span, statement: Span, positive: bool, subject: Span | None) -> Guard:
        """The same condition as it is written somewhere else."""
        return Guard(
            self.symbol,
            self.varies,
            self.causes,
            self.depends,
            self.one,
            path,
            span,
            statement,
            positive,
            self.own,
            self.maybe,
            self.chosen,
            self.ways,
            subject,
        )

    def judged_here(self, own: bool) -> Guard:
        """The same condition, with whether it has to be judged in the function whose term this is."""
        return Guard(
            self.symbol,
            self.varies,
            self.causes,
            self.depends,
            self.one,
            self.path,
            self.span,
            self.statement,
            self.positive,
            own,
            self.maybe,
            self.chosen,
            self.ways,
            self.subject,
        )
