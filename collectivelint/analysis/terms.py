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
    """One collective. `chain` are the calls that lead to it from the function whose term it is in.

    `kind`: "implicit" is a call that runs collectives inside; "create" is one that makes a group and that every rank
    has to call; "init" is never reported: it marks the start of the default group, which has only the ranks that reach
    it. `why` says what an implicit one does that needs every rank. `data` are the parameters and loop elements that its
    arguments come from. `api` is its catalogue name if it is a collective in some programs only, `confidence` how sure
    that is in this program.
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
        """Span and statement of the item in the function whose term this is: the first call, or the collective."""
        return (self.chain[0].span, self.chain[0].statement) if self.chain else (self.span, self.statement)

    @property
    def token(self) -> tuple[str, Symbol, str]:
        """What has to be equal for two ranks' collectives to match; `why` separates framework calls of one name."""
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
    """A loop; loops with equal `symbol` make equally many iterations.

    `trips` is the guard of the number of iterations where it differs between ranks. If its collectives depend on the
    current element, `unordered` is the set whose order it follows, and `over` the parameter that it iterates over.
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
    """The end of the function (return, raise) or of the current loop iteration (break, continue).

    `refused`: it returns because the request cannot be fulfilled. `again`: a handler returns the result of calling its
    function again. `span` is that of a statement of the function whose term this is; `raised` has the names of the
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
    """A point that may fail on a single rank; only terms inside `try` have these."""

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
    """A call of a function argument, or, with `method`, of a method of an argument that is a wrapped model.

    `site` is the call site, `chain` are the calls that lead there, `modes` the relevant context managers around it.
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
