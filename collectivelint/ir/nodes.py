"""The event tree: what a function does, reduced to what the analysis needs to know.

Python's many statements become nine: everything that only computes is `Evaluate`, `match` is nested branches,
`async` is dropped. Positions are those of `ast`: lines from 1, columns in UTF-8 bytes from 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..source.annotations import Annotation


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """Start (included) and end (excluded) of a piece of source."""

    line: int
    column: int
    end_line: int
    end_column: int

    @property
    def start(self) -> tuple[int, int]:
        """Line and column of the first character."""
        return self.line, self.column

    @property
    def end(self) -> tuple[int, int]:
        """Line and column behind the last character."""
        return self.end_line, self.end_column

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        """The four fields in order."""
        return self.line, self.column, self.end_line, self.end_column

    def contains(self, other: Span) -> bool:
        """Whether all of `other` lies in this span."""
        return self.start <= other.start and other.end <= self.end

    def contains_position(self, line: int, column: int) -> bool:
        """Whether a position lies in this span or right behind it, as a cursor does."""
        return self.start <= (line, column) <= self.end

    def contains_line(self, line: int) -> bool:
        """Whether this span has a part of a line."""
        return self.line <= line <= self.end_line


# ---------------------------------------------------------------------------------------------------- expressions


@dataclass(frozen=True, slots=True)
class Name:
    """A variable."""

    id: str


@dataclass(frozen=True, slots=True)
class Attribute:
    """`value.name`."""

    value: Expr
    name: str


@dataclass(frozen=True, slots=True)
class Constant:
    """A number, a string, None, True or False."""

    value: object


@dataclass(frozen=True, slots=True)
class Call:
    """A call, with `*args` and `**kwargs` marked by `spread`."""

    function: Expr
    args: tuple[Expr, ...]
    keywords: tuple[tuple[str, Expr], ...]
    spread: bool
    span: Span


@dataclass(frozen=True, slots=True)
class Logical:
    """`and` / `or`: the later values are evaluated only where the earlier ones let them.

    `spans` are those of the values, as they are written; `negated`: the values are the opposites of what is written there.
    """

    op: Literal["and", "or"]
    values: tuple[Expr, ...]
    spans: tuple[Span, ...] = field(default=(), compare=False)
    negated: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """`not value`."""

    value: Expr


@dataclass(frozen=True, slots=True)
class Compare:
    """`left op right` with one operator; longer chains become `and`."""

    left: Expr
    op: str
    right: Expr


@dataclass(frozen=True, slots=True)
class Conditional:
    """`then if test else orelse`. `test_span` is the condition alone."""

    test: Expr
    then: Expr
    orelse: Expr
    span: Span
    test_span: Span


@dataclass(frozen=True, slots=True)
class Subscript:
    """`value[index]`."""

    value: Expr
    index: Expr


@dataclass(frozen=True, slots=True)
class Compound:
    """Anything else that is computed from parts: arithmetic, displays, f-strings. `kind` tells them apart."""

    kind: str
    parts: tuple[Expr, ...]


@dataclass(frozen=True, slots=True)
class Declared:
    """A value with an annotation in a comment beside it."""

    value: Expr
    annotation: Annotation
    span: Span


@dataclass(frozen=True, slots=True)
class Comprehension:
    """A comprehension: loops over `iterables` binding `targets`, filters, then `element`.

    `filter_spans` are those of the filters.
    """

    targets: tuple[Expr, ...]
    iterables: tuple[Expr, ...]
    filters: tuple[Expr, ...]
    element: Expr
    span: Span
    filter_spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Bind:
    """`name := value`."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Lambda:
    """`lambda`: its body runs when it is called, not here."""

    params: tuple[str, ...]
    body: Expr


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

# ----------------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True, slots=True)
class Evaluate:
    """An expression evaluated for its effect."""

    value: Expr
    span: Span


@dataclass(frozen=True, slots=True)
class Assign:
    """`targets = value`; an augmented assignment has its old value inside `value`."""

    targets: tuple[Expr, ...]
    value: Expr
    span: Span
    annotation: Expr | None = None


@dataclass(frozen=True, slots=True)
class Branch:
    """`if test: then else: orelse`. `test_span` is the condition alone.

    For a `case` that is its pattern, and `subject` what `match` compares with it.
    """

    test: Expr
    then: Block
    orelse: Block
    span: Span
    test_span: Span
    subject: Span | None = None


@dataclass(frozen=True, slots=True)
class Loop:
    """`for target in iterable` or, with target None, `while iterable`. `head` is the span of `iterable`."""

    target: Expr | None
    iterable: Expr
    body: Block
    orelse: Block
    span: Span
    head: Span


@dataclass(frozen=True, slots=True)
class Try:
    """`try`; each handler is (its type or None, the bound name or None, its body)."""

    body: Block
    handlers: tuple[tuple[Expr | None, str | None, Block], ...]
    orelse: Block
    final: Block
    span: Span


@dataclass(frozen=True, slots=True)
class With:
    """`with`: each item is (context expression, target or None)."""

    items: tuple[tuple[Expr, Expr | None], ...]
    body: Block
    span: Span


@dataclass(frozen=True, slots=True)
class Exit:
    """`return`, `raise`, `break` or `continue`."""

    kind: Literal["return", "raise", "break", "continue"]
    value: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class Assert:
    """`assert test, message`."""

    test: Expr
    message: Expr | None
    span: Span


@dataclass(frozen=True, slots=True)
class Define:
    """A nested `def` or `class` becomes known under `name`."""

    name: str
    qualname: str
    span: Span


Statement: TypeAlias = Evaluate | Assign | Branch | Loop | Try | With | Exit | Assert | Define
Block: TypeAlias = tuple[Statement, ...]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter; `kind` is "positional", "keyword", "args" or "kwargs"."""

    name: str
    kind: Literal["positional", "keyword", "args", "kwargs"]
    default: Expr | None
    annotation: Expr | None


@dataclass(frozen=True, slots=True)
class Function:
    """One function, lowered. The body of a module is the function `<module>`."""

    path: str
    qualname: str
    owner: str | None
    params: tuple[Parameter, ...]
    decorators: tuple[Expr, ...]
    returns: Expr | None
    body: Block
    imports: tuple[tuple[str, str], ...]
    span: Span
    annotation: Annotation | None = None


def blocks(statement: Statement) -> Iterator[Block]:
    """The blocks inside a statement."""
    match statement:
        case Branch(then=then, orelse=orelse):
            yield from (then, orelse)
        case Loop(body=body, orelse=orelse):
            yield from (body, orelse)
        case With(body=body):
            yield body
        case Try(body=body, handlers=handlers, orelse=orelse, final=final):
            yield from (body, *(handler for _, _, handler in handlers), orelse, final)


def parts(statement: Statement) -> Iterator[Expr]:
    """The expressions that a statement evaluates itself; a plain name that is assigned to is not read."""
    match statement:
        case Evaluate(value=value):
            yield value
        case Assign(targets=targets, value=value):
            yield value
            yield from (target for target in targets if not isinstance(target, Name))
        case Branch(test=test):
            yield test
        case Loop(iterable=iterable):
            yield iterable
        case With(items=items):
            yield from (expr for expr, _ in items)
        case Exit(value=value) if value is not None:
            yield value
        case Assert(test=test, message=message):
            yield test
            if message is not None:
                yield message


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct parts of an expression, in evaluation order; a lambda's body is not one."""
    match expr:
        case Attribute(value=value) | Not(value=value) | Bind(value=value) | Declared(value=value):
            return (value,)
        case Call(function=function, args=args, keywords=keywords):
            return (function, *args, *(value for _, value in keywords))
        case Logical(values=parts) | Compound(parts=parts):
            return parts
        case Compare(left=left, right=right):
            return (left, right)
        case Conditional(test=test, then=then, orelse=orelse):
            return (test, then, orelse)
        case Subscript(value=value, index=index):
            return (value, index)
        case Comprehension(iterables=iterables, filters=filters, element=element):
            return (*iterables, *filters, element)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything in it."""
    yield expr
    for part in children(expr):
        yield from walk(part)


def expressions(block: Block) -> Iterator[Expr]:
    """Every expression of a block, inner blocks included."""
    for statement in block:
        for expr in parts(statement):
            yield from walk(expr)
        for inner in blocks(statement):
            yield from expressions(inner)


def assignments(block: Block) -> Iterator[Assign]:
    """Every assignment of a block, inner blocks included."""
    for statement in block:
        if isinstance(statement, Assign):
            yield statement
        for inner in blocks(statement):
            yield from assignments(inner)


def calls(statement: Statement) -> Iterator[Call]:
    """The calls that a statement makes itself, not those of the blocks inside it."""
    for expr in parts(statement):
        yield from (part for part in walk(expr) if isinstance(part, Call))
