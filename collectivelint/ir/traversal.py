"""Going through the event tree: what a statement evaluates, what stands in it, and what a whole block holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .expressions import (
    Attribute,
    Bind,
    Call,
    Compare,
    Compound,
    Comprehension,
    Conditional,
    Declared,
    Logical,
    Name,
    Not,
    Subscript,
)
from .statements import Assert, Assign, Branch, Evaluate, Exit, Loop, Try, With

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .expressions import Expr
    from .statements import Block, Statement


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
