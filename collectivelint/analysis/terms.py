"""Effect terms: what a function does to the groups, as ordered collectives, branches, loops and exits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..findings.confidence import Confidence
from ..record import Record

if TYPE_CHECKING:
    from ..catalog.operations import Operation
    from ..ir.nodes import Span
    from .domain.causes import Cause
    from .domain.symbol import Symbol
    from .guard import Guard


_NO_NAMES: Final[frozenset[str]] = frozenset()


class CallSite(Record):
    """A call on the way to a collective: `function` of file `path` calls `callee` here."""

    __slots__ = ("callee", "function", "path", "span", "statement")

    def __init__(self, path: str, function: str, span: Span, statement: Span, callee: str) -> None:
        self.path: Final = path
        self.function: Final = function
        self.span: Final = span
        self.statement: Final = statement
        self.callee: Final = callee

    def _fields(self) -> tuple[object, ...]:
        return (self.path, self.function, self.span, self.statement, self.callee)


class Event(Record):
    """One collective. `chain` are the calls that lead to it from the function whose term it stands in.

    `kind`: "implicit" is a call that runs collectives inside, "create" one that makes a group, which every rank has to
    call; "init" is nothing to report but the birth of the default group, which has only the ranks that get here. `why`
    says of an implicit one what it does that every rank has to take part in. `data` are the parameters and the elements of
    loops that its arguments come from. `api` is its name in the catalogue where it is a collective in some programs only,
    `confidence` how sure it is that it is one in this program.
    """

    __slots__ = (
        "api",
        "chain",
        "confidence",
        "data",
        "function",
        "group",
        "kind",
        "op",
        "operation",
        "partial",
        "path",
        "span",
        "statement",
        "why",
    )

    def __init__(
        self,
        op: str,
        group: Symbol,
        partial: bool,
        path: str,
        function: str,
        span: Span,
        statement: Span,
        kind: Literal["collective", "implicit", "create", "init"] = "collective",
        chain: tuple[CallSite, ...] = (),
        why: str = "",
        operation: Operation | None = None,
        data: frozenset[str] = _NO_NAMES,
        api: str = "",
        confidence: Confidence = Confidence.HIGH,
    ) -> None:
        self.op: Final = op
        self.group: Final = group
        self.partial: Final = partial
        self.path: Final = path
        self.function: Final = function
        self.span: Final = span
        self.statement: Final = statement
        self.kind: Final = kind
        self.chain: Final = chain
        self.why: Final = why
        self.operation: Final = operation
        self.data: Final = data
        self.api: Final = api
        self.confidence: Final = confidence

    def _fields(self) -> tuple[object, ...]:
        return (
            self.op,
            self.group,
            self.partial,
            self.path,
            self.function,
            self.span,
            self.statement,
            self.kind,
            self.chain,
            self.why,
            self.operation,
            self.data,
            self.api,
            self.confidence,
        )

    @property
    def place(self) -> tuple[Span, Span]:
        """Span and statement of what the function whose term this is does itself: the first call, or the collective."""
        return (self.chain[0].span, self.chain[0].statement) if self.chain else (self.span, self.statement)

    @property
    def token(self) -> tuple[str, Symbol, str]:
        """What has to be equal for two ranks to meet in a collective; frameworks have calls of one name."""
        return (self.op, self.group, self.why)


class Choice(Record):
    """`then` where the guard holds, `orelse` where it does not."""

    __slots__ = ("guard", "orelse", "then")

    def __init__(self, guard: Guard, then: Term, orelse: Term) -> None:
        self.guard: Final = guard
        self.then: Final = then
        self.orelse: Final = orelse

    def _fields(self) -> tuple[object, ...]:
        return (self.guard, self.then, self.orelse)


class Repeat(Record):
    """A loop; loops over equal `symbol` make equally many turns.

    `trips` says what the number of turns depends on where that differs between ranks. Of one whose collectives depend on the
    element at hand, `unordered` is the set whose order it follows, and `over` names the parameter that it runs over.
    """

    __slots__ = ("body", "over", "symbol", "trips", "unordered")

    def __init__(
        self,
        symbol: Symbol,
        body: Term,
        trips: Guard | None = None,
        unordered: Cause | None = None,
        over: str | None = None,
    ) -> None:
        self.symbol: Final = symbol
        self.body: Final = body
        self.trips: Final = trips
        self.unordered: Final = unordered
        self.over: Final = over

    def _fields(self) -> tuple[object, ...]:
        return (self.symbol, self.body, self.trips, self.unordered, self.over)

    def with_body(self, body: Term) -> Repeat:
        """The same loop over another body."""
        return Repeat(self.symbol, body, self.trips, self.unordered, self.over)


class Leave(Record):
    """The function (return, raise) or the turn of a loop (break, continue) ends here.

    `refused`: it returns because what it was asked for cannot be done. `again`: a handler returns what the function gives
    when it is called again. `span` is that of a statement of the function whose term this is; `raised` has the names of the
    class of an exception and of its bases, where they are known.
    """

    __slots__ = ("again", "kind", "raised", "refused", "span")

    def __init__(
        self,
        kind: Literal["return", "raise", "break", "continue"],
        refused: bool = False,
        again: bool = False,
        span: Span | None = None,
        raised: frozenset[str] = _NO_NAMES,
    ) -> None:
        self.kind: Final = kind
        self.refused: Final = refused
        self.again: Final = again
        self.span: Final = span
        self.raised: Final = raised

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.refused, self.again, self.span, self.raised)

    def _compared(self) -> tuple[object, ...]:
        return (self.kind, self.refused, self.again)


class Fails(Record):
    """Here something may fail on one rank alone; only terms inside `try` have these."""

    __slots__ = ("cause",)

    def __init__(self, cause: Cause) -> None:
        self.cause: Final = cause

    def _fields(self) -> tuple[object, ...]:
        return (self.cause,)


class Yielded(Record):
    """The `yield` of a context manager: the body of the `with` runs here."""

    __slots__ = ()

    def _fields(self) -> tuple[object, ...]:
        return ()


class Deferred(Record):
    """A call of what was passed for a parameter, or with `method` of a method that it has where it is a wrapped model.

    `site` is where it stands, `chain` are the calls that lead there, `modes` the context managers around it that matter.
    """

    __slots__ = ("chain", "method", "modes", "parameter", "site")

    def __init__(
        self,
        parameter: str,
        site: CallSite,
        method: str = "",
        modes: frozenset[str] = _NO_NAMES,
        chain: tuple[CallSite, ...] = (),
    ) -> None:
        self.parameter: Final = parameter
        self.site: Final = site
        self.method: Final = method
        self.modes: Final = modes
        self.chain: Final = chain

    def _fields(self) -> tuple[object, ...]:
        return (self.parameter, self.site, self.method, self.modes, self.chain)


Item: TypeAlias = Event | Choice | Repeat | Leave | Fails | Yielded | Deferred
Term: TypeAlias = tuple[Item, ...]
