"""Traversal of the event tree: a statement's expressions, its inner blocks, and everything in a block."""

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
    Constant,
    Declared,
    Logical,
    Name,
    Not,
    Subscript,
)
from .statements import Assert, Assign, Branch, Evaluate, Exit, Loop, Try, With

if TYPE_CHECKING:
    from .expressions import Expr
    from .statements import Block, Statement


# These are called for every expression there is: lists, and `isinstance` where the rest of the package has generators and
# `match`. Compiled, a generator takes three times as long, and a class pattern looks each attribute up by its name.


def blocks(statement: Statement) -> tuple[Block, ...]:
    """The blocks inside a statement."""
    if isinstance(statement, (Branch, Loop)):
        return (
            (statement.then, statement.orelse) if isinstance(statement, Branch) else (statement.body, statement.orelse)
        )
    if isinstance(statement, With):
        return (statement.body,)
    if isinstance(statement, Try):
        return (statement.body, *[handler for _, _, handler in statement.handlers], statement.orelse, statement.final)
    return ()


def parts(statement: Statement) -> list[Expr]:
    """The expressions that a statement evaluates itself; an assignment target that is a plain name is not one."""
    if isinstance(statement, Evaluate):
        return [statement.value]
    if isinstance(statement, Assign):
        return [statement.value, *[target for target in statement.targets if not isinstance(target, Name)]]
    if isinstance(statement, Branch):
        return [statement.test]
    if isinstance(statement, Loop):
        return [statement.iterable]
    if isinstance(statement, With):
        return [expr for expr, _ in statement.items]
    if isinstance(statement, Exit):
        return [] if statement.value is None else [statement.value]
    if isinstance(statement, Assert):
        return [statement.test] if statement.message is None else [statement.test, statement.message]
    return []


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct parts of an expression, in evaluation order; a lambda's body is not one."""
    if isinstance(expr, (Name, Constant)):
        return ()
    if isinstance(expr, Attribute):
        return (expr.value,)
    if isinstance(expr, Call):
        return (expr.function, *expr.args, *[value for _, value in expr.keywords])
    if isinstance(expr, Compound):
        return expr.parts
    if isinstance(expr, Subscript):
        return (expr.value, expr.index)
    if isinstance(expr, Compare):
        return (expr.left, expr.right)
    if isinstance(expr, Logical):
        return expr.values
    if isinstance(expr, Not):
        return (expr.value,)
    if isinstance(expr, Conditional):
        return (expr.test, expr.then, expr.orelse)
    if isinstance(expr, Comprehension):
        return (*expr.iterables, *expr.filters, expr.element)
    if isinstance(expr, Bind):
        return (expr.value,)
    if isinstance(expr, Declared):
        return (expr.value,)
    return ()


def walk(expr: Expr) -> list[Expr]:
    """The expression and everything in it, in evaluation order."""
    found: list[Expr] = []
    _collect(expr, found)
    return found


def _collect(expr: Expr, found: list[Expr]) -> None:
    found.append(expr)
    for part in children(expr):
        _collect(part, found)


def expressions(block: Block) -> list[Expr]:
    """Every expression of a block, inner blocks included."""
    found: list[Expr] = []
    for statement in block:
        for expr in parts(statement):
            _collect(expr, found)
        for inner in blocks(statement):
            found += expressions(inner)
    return found


def assignments(block: Block) -> list[Assign]:
    """Every assignment of a block, inner blocks included."""
    found: list[Assign] = []
    for statement in block:
        if isinstance(statement, Assign):
            found.append(statement)
        for inner in blocks(statement):
            found += assignments(inner)
    return found


def calls(statement: Statement) -> list[Call]:
    """The calls that a statement makes itself, not those of the blocks inside it."""
    return [part for expr in parts(statement) for part in walk(expr) if isinstance(part, Call)]
