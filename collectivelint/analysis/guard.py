"""Guards: the conditions of effect terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..record import Record
from .domain.records import KEEP, Keep

if TYPE_CHECKING:
    from ..ir.nodes import Span
    from .domain.causes import Cause
    from .domain.symbol import Symbol

_NO_AXES: Final[frozenset[Symbol]] = frozenset()
_NO_NAMES: Final[frozenset[str]] = frozenset()


class Guard(Record):
    """One condition of a function's term."""

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
        #: What identifies it.
        self.symbol: Final = symbol
        #: The axes over which it differs between ranks.
        self.varies: Final = varies or _NO_AXES
        #: Where the difference comes from, the first ones only.
        self.causes: Final = causes
        #: The parameters of the function that flow into it.
        self.depends: Final = depends or _NO_NAMES
        #: It holds on exactly one rank (True), or on all but one (False).
        self.one: Final = one
        self.path: Final = path
        self.span: Final = span
        #: The statement that it is part of.
        self.statement: Final = statement
        #: The condition as it is written at `span` holds where the symbol does; otherwise it is its negation.
        self.positive: Final = positive
        #: It has to be judged in the function whose term this is.
        self.own: Final = own
        #: It varies only under some configurations.
        self.maybe: Final = maybe
        #: The parameter that decides it alone, and the constant for which it holds (UNKNOWN: if it is true).
        self.chosen: Final = chosen
        #: It picks one of that many overrides of a method.
        self.ways: Final = ways
        #: What `match` compares with the pattern at `span`.
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

    def but(
        self,
        path: str | Keep = KEEP,
        span: Span | Keep = KEEP,
        statement: Span | Keep = KEEP,
        positive: bool | Keep = KEEP,
        own: bool | Keep = KEEP,
        subject: Span | Keep | None = KEEP,
    ) -> Guard:
        """The same condition, written somewhere else or judged in another function."""
        return Guard(
            self.symbol,
            self.varies,
            self.causes,
            self.depends,
            self.one,
            self.path if isinstance(path, Keep) else path,
            self.span if isinstance(span, Keep) else span,
            self.statement if isinstance(statement, Keep) else statement,
            self.positive if isinstance(positive, Keep) else positive,
            self.own if isinstance(own, Keep) else own,
            self.maybe,
            self.chosen,
            self.ways,
            self.subject if isinstance(subject, Keep) else subject,
        )
