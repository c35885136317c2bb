"""The statements of the event tree, and the functions they make up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..record import Record

if TYPE_CHECKING:
    from ..source.annotations import Annotation
    from .expressions import Expr
    from .span import Span


class Evaluate(Record):
    """An expression evaluated for its effect."""

    __slots__ = ("span", "value")

    def __init__(self, value: Expr, span: Span) -> None:
        self.value: Final = value
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.value, self.span)


class Assign(Record):
    """`targets = value`; an augmented assignment has its old value inside `value`."""

    __slots__ = ("annotation", "span", "targets", "value")

    def __init__(self, targets: tuple[Expr, ...], value: Expr, span: Span, annotation: Expr | None = None) -> None:
        self.targets: Final = targets
        self.value: Final = value
        self.span: Final = span
        self.annotation: Final = annotation

    def _fields(self) -> tuple[object, ...]:
        return (self.targets, self.value, self.span, self.annotation)


class Branch(Record):
    """`if test: then else: orelse`. `test_span` is the condition alone.

    For a `case` that is its pattern, and `subject` what `match` compares with it.
    """

    __slots__ = ("orelse", "span", "subject", "test", "test_span", "then")

    def __init__(
        self, test: Expr, then: Block, orelse: Block, span: Span, test_span: Span, subject: Span | None = None
    ) -> None:
        self.test: Final = test
        self.then: Final = then
        self.orelse: Final = orelse
        self.span: Final = span
        self.test_span: Final = test_span
        self.subject: Final = subject

    def _fields(self) -> tuple[object, ...]:
        return (self.test, self.then, self.orelse, self.span, self.test_span, self.subject)


class Loop(Record):
    """`for target in iterable` or, with target None, `while iterable`. `head` is the span of `iterable`."""

    __slots__ = ("body", "head", "iterable", "orelse", "span", "target")

    def __init__(self, target: Expr | None, iterable: Expr, body: Block, orelse: Block, span: Span, head: Span) -> None:
        self.target: Final = target
        self.iterable: Final = iterable
        self.body: Final = body
        self.orelse: Final = orelse
        self.span: Final = span
        self.head: Final = head

    def _fields(self) -> tuple[object, ...]:
        return (self.target, self.iterable, self.body, self.orelse, self.span, self.head)


class Try(Record):
    """`try`; each handler is (its type or None, the bound name or None, its body)."""

    __slots__ = ("body", "final", "handlers", "orelse", "span")

    def __init__(
        self,
        body: Block,
        handlers: tuple[tuple[Expr | None, str | None, Block], ...],
        orelse: Block,
        final: Block,
        span: Span,
    ) -> None:
        self.body: Final = body
        self.handlers: Final = handlers
        self.orelse: Final = orelse
        self.final: Final = final
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.body, self.handlers, self.orelse, self.final, self.span)


class With(Record):
    """`with`: each item is (context expression, target or None)."""

    __slots__ = ("body", "items", "span")

    def __init__(self, items: tuple[tuple[Expr, Expr | None], ...], body: Block, span: Span) -> None:
        self.items: Final = items
        self.body: Final = body
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.items, self.body, self.span)


class Exit(Record):
    """`return`, `raise`, `break` or `continue`."""

    __slots__ = ("kind", "span", "value")

    def __init__(self, kind: Literal["return", "raise", "break", "continue"], value: Expr | None, span: Span) -> None:
        self.kind: Final = kind
        self.value: Final = value
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.value, self.span)


class Assert(Record):
    """`assert test, message`."""

    __slots__ = ("message", "span", "test")

    def __init__(self, test: Expr, message: Expr | None, span: Span) -> None:
        self.test: Final = test
        self.message: Final = message
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.test, self.message, self.span)


class Define(Record):
    """A nested `def` or `class` becomes known under `name`."""

    __slots__ = ("name", "qualname", "span")

    def __init__(self, name: str, qualname: str, span: Span) -> None:
        self.name: Final = name
        self.qualname: Final = qualname
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.name, self.qualname, self.span)


Statement: TypeAlias = Evaluate | Assign | Branch | Loop | Try | With | Exit | Assert | Define
Block: TypeAlias = tuple[Statement, ...]


class Parameter(Record):
    """A parameter; `kind` is "positional", "keyword", "args" or "kwargs"."""

    __slots__ = ("annotation", "default", "kind", "name")

    def __init__(
        self,
        name: str,
        kind: Literal["positional", "keyword", "args", "kwargs"],
        default: Expr | None,
        annotation: Expr | None,
    ) -> None:
        self.name: Final = name
        self.kind: Final = kind
        self.default: Final = default
        self.annotation: Final = annotation

    def _fields(self) -> tuple[object, ...]:
        return (self.name, self.kind, self.default, self.annotation)


class Function(Record):
    """One function, lowered. The body of a module is the function `<module>`."""

    __slots__ = (
        "annotation",
        "body",
        "decorators",
        "imports",
        "owner",
        "params",
        "path",
        "qualname",
        "returns",
        "span",
    )

    def __init__(
        self,
        path: str,
        qualname: str,
        owner: str | None,
        params: tuple[Parameter, ...],
        decorators: tuple[Expr, ...],
        returns: Expr | None,
        body: Block,
        imports: tuple[tuple[str, str], ...],
        span: Span,
        annotation: Annotation | None = None,
    ) -> None:
        self.path: Final = path
        self.qualname: Final = qualname
        self.owner: Final = owner
        self.params: Final = params
        self.decorators: Final = decorators
        self.returns: Final = returns
        self.body: Final = body
        self.imports: Final = imports
        self.span: Final = span
        self.annotation: Final = annotation

    @property
    def first_line(self) -> int:
        """The line that lines in the function are counted from; 1 for a module, whose statements may begin later."""
        return self.body[0].span.line if self.qualname == "<module>" and self.body else self.span.line

    def _fields(self) -> tuple[object, ...]:
        return (
            self.path,
            self.qualname,
            self.owner,
            self.params,
            self.decorators,
            self.returns,
            self.body,
            self.imports,
            self.span,
            self.annotation,
        )

    def renamed(self, qualname: str) -> Function:
        """The same function under another name."""
        return Function(
            self.path,
            qualname,
            self.owner,
            self.params,
            self.decorators,
            self.returns,
            self.body,
            self.imports,
            self.span,
            self.annotation,
        )
