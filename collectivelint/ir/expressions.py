"""The expressions of the event tree.

They are immutable, and equal if their fields are equal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..record import Record

if TYPE_CHECKING:
    from ..source.annotations import Annotation
    from .span import Span


class Name(Record):
    """A variable."""

    __slots__ = ("id",)

    def __init__(self, id: str) -> None:  # noqa: A002  # as in ast.Name
        self.id: Final = id

    def _fields(self) -> tuple[object, ...]:
        return (self.id,)


class Attribute(Record):
    """`value.name`."""

    __slots__ = ("name", "value")

    def __init__(self, value: Expr, name: str) -> None:
        self.value: Final = value
        self.name: Final = name

    def _fields(self) -> tuple[object, ...]:
        return (self.value, self.name)


class Constant(Record):
    """A number, a string, None, True or False."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value: Final = value

    def _fields(self) -> tuple[object, ...]:
        return (self.value,)


class Call(Record):
    """A call, with `*args` and `**kwargs` marked by `spread`."""

    __slots__ = ("args", "function", "keywords", "span", "spread")

    def __init__(
        self, function: Expr, args: tuple[Expr, ...], keywords: tuple[tuple[str, Expr], ...], spread: bool, span: Span
    ) -> None:
        self.function: Final = function
        self.args: Final = args
        self.keywords: Final = keywords
        self.spread: Final = spread
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.function, self.args, self.keywords, self.spread, self.span)


class Logical(Record):
    """`and` / `or`: later values are evaluated only if the earlier ones do not decide the result.

    `spans` are the source spans of the values; `negated`: the values are the negations of their source.
    """

    __slots__ = ("negated", "op", "spans", "values")

    def __init__(
        self, op: Literal["and", "or"], values: tuple[Expr, ...], spans: tuple[Span, ...] = (), negated: bool = False
    ) -> None:
        self.op: Final = op
        self.values: Final = values
        self.spans: Final = spans
        self.negated: Final = negated

    def _fields(self) -> tuple[object, ...]:
        return (self.op, self.values, self.spans, self.negated)

    def _compared(self) -> tuple[object, ...]:
        return (self.op, self.values)


class Not(Record):
    """`not value`."""

    __slots__ = ("value",)

    def __init__(self, value: Expr) -> None:
        self.value: Final = value

    def _fields(self) -> tuple[object, ...]:
        return (self.value,)


class Compare(Record):
    """`left op right` with one operator; longer chains become `and`."""

    __slots__ = ("left", "op", "right")

    def __init__(self, left: Expr, op: str, right: Expr) -> None:
        self.left: Final = left
        self.op: Final = op
        self.right: Final = right

    def _fields(self) -> tuple[object, ...]:
        return (self.left, self.op, self.right)


class Conditional(Record):
    """`then if test else orelse`. `test_span` is the condition alone."""

    __slots__ = ("orelse", "span", "test", "test_span", "then")

    def __init__(self, test: Expr, then: Expr, orelse: Expr, span: Span, test_span: Span) -> None:
        self.test: Final = test
        self.then: Final = then
        self.orelse: Final = orelse
        self.span: Final = span
        self.test_span: Final = test_span

    def _fields(self) -> tuple[object, ...]:
        return (self.test, self.then, self.orelse, self.span, self.test_span)


class Subscript(Record):
    """`value[index]`."""

    __slots__ = ("index", "value")

    def __init__(self, value: Expr, index: Expr) -> None:
        self.value: Final = value
        self.index: Final = index

    def _fields(self) -> tuple[object, ...]:
        return (self.value, self.index)


class Compound(Record):
    """Any other expression with parts: arithmetic, displays, f-strings. `kind` tells them apart."""

    __slots__ = ("kind", "parts")

    def __init__(self, kind: str, parts: tuple[Expr, ...]) -> None:
        self.kind: Final = kind
        self.parts: Final = parts

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.parts)


class Declared(Record):
    """A value with an annotation in a comment on its line."""

    __slots__ = ("annotation", "span", "value")

    def __init__(self, value: Expr, annotation: Annotation, span: Span) -> None:
        self.value: Final = value
        self.annotation: Final = annotation
        self.span: Final = span

    def _fields(self) -> tuple[object, ...]:
        return (self.value, self.annotation, self.span)


class Comprehension(Record):
    """A comprehension: loops over `iterables` binding `targets`, filters, then `element`.

    `filter_spans` are those of the filters.
    """

    __slots__ = ("element", "filter_spans", "filters", "iterables", "span", "targets")

    def __init__(
        self,
        targets: tuple[Expr, ...],
        iterables: tuple[Expr, ...],
        filters: tuple[Expr, ...],
        element: Expr,
        span: Span,
        filter_spans: tuple[Span, ...],
    ) -> None:
        self.targets: Final = targets
        self.iterables: Final = iterables
        self.filters: Final = filters
        self.element: Final = element
        self.span: Final = span
        self.filter_spans: Final = filter_spans

    def _fields(self) -> tuple[object, ...]:
        return (self.targets, self.iterables, self.filters, self.element, self.span, self.filter_spans)


class Bind(Record):
    """`name := value`."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Expr) -> None:
        self.name: Final = name
        self.value: Final = value

    def _fields(self) -> tuple[object, ...]:
        return (self.name, self.value)


class Lambda(Record):
    """`lambda`: its body runs when it is called, not here."""

    __slots__ = ("body", "params")

    def __init__(self, params: tuple[str, ...], body: Expr) -> None:
        self.params: Final = params
        self.body: Final = body

    def _fields(self) -> tuple[object, ...]:
        return (self.params, self.body)


Expr: TypeAlias = (
    Name
    | Attribute
    | Constant
    | Call
    | Logical
    | Not
    | Compare
    | Conditional
    | Subscript
    | Compound
    | Declared
    | Comprehension
    | Bind
    | Lambda
)
