"""Lowers `ast` expressions to those of the event tree.

`level` counts how deep an expression stands in statements and other expressions. A table maps each node type to its
function: a `match` statement, compiled to a chain of comparisons, would take longer than the lowering itself.
"""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from .expressions import (
    Attribute,
    Bind,
    Call,
    Compare,
    Compound,
    Comprehension,
    Conditional,
    Constant,
    Lambda,
    Logical,
    Name,
    Not,
    Subscript,
)
from .span import Span, between
from .statements import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from .expressions import Expr

_COMPARE: Final = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
#: The deepest that is lowered. Later steps take up to nine calls for each level: compiled, a level has 4 KB of the stack of
#: 8 MB that a process has, and nothing but this bound keeps it from the end of it.
MOST_LEVELS: Final = 2_000
#: Sums of more terms than this are generated, and one value of so many parts instead of as many values in each other.
_LONG_SUM: Final = 64
#: Conditions of more operands than this are generated too, and judged as a whole.
_LONG_CONDITION: Final = 500


def span_of(node: ast.expr | ast.stmt | ast.pattern) -> Span:
    """The span of a node."""
    line, column = node.lineno, node.col_offset
    return Span(line, column, node.end_lineno or line, node.end_col_offset or column)


def expression(node: ast.expr, level: int = 0) -> Expr:
    """Lower one expression; raise RecursionError where it is nested too deeply."""
    # These two are most of all.
    if isinstance(node, ast.Name):
        return _shared(node.id)
    if isinstance(node, ast.Constant):
        return Constant(node.value)
    if level > MOST_LEVELS:
        raise RecursionError
    return _LOWER.get(type(node), _compound)(node, level + 1)


def optional(node: ast.expr | None, level: int) -> Expr | None:
    """Lower one expression if there is one."""
    return None if node is None else expression(node, level)


def several(nodes: Sequence[ast.expr], level: int) -> tuple[Expr, ...]:
    """Lower each of them."""
    return tuple([expression(node, level) for node in nodes])


def parameters(args: ast.arguments, level: int) -> tuple[Parameter, ...]:
    """The parameters of a function, in call order."""
    positional = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    found = [_parameter(arg, "positional", default, level) for arg, default in zip(positional, defaults, strict=True)]
    if args.vararg:
        found.append(_parameter(args.vararg, "args", None, level))
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        found.append(_parameter(arg, "keyword", default, level))
    if args.kwarg:
        found.append(_parameter(args.kwarg, "kwargs", None, level))
    return tuple(found)


def _parameter(
    arg: ast.arg, kind: Literal["positional", "keyword", "args", "kwargs"], default: ast.expr | None, level: int
) -> Parameter:
    return Parameter(arg.arg, kind, optional(default, level), optional(arg.annotation, level))


@cache
def _shared(name: str) -> Name:
    """One shared object for all uses of a name: names are a third of all expressions."""
    return Name(name)


def _attribute(node: ast.Attribute, level: int) -> Expr:
    return Attribute(expression(node.value, level), node.attr)


def _call(node: ast.Call, level: int) -> Expr:
    spread = any(isinstance(arg, ast.Starred) for arg in node.args) or any(word.arg is None for word in node.keywords)
    return Call(
        expression(node.func, level),
        several(node.args, level),
        tuple([(word.arg or "**", expression(word.value, level)) for word in node.keywords]),
        spread,
        span_of(node),
    )


def _yield(node: ast.Yield, level: int) -> Expr:
    return Compound("yield", () if node.value is None else (expression(node.value, level),))


def _yield_from(node: ast.YieldFrom, level: int) -> Expr:
    return Compound("yield from", (expression(node.value, level),))


def _inner(node: ast.Await | ast.Starred, level: int) -> Expr:
    return expression(node.value, level)


def _subscript(node: ast.Subscript, level: int) -> Expr:
    index = node.slice
    if isinstance(index, ast.Slice):
        bounds = [
            Constant(None) if part is None else expression(part, level)
            for part in (index.lower, index.upper, index.step)
        ]
        return Subscript(expression(node.value, level), Compound("Slice", tuple(bounds)))
    return Subscript(expression(node.value, level), expression(index, level))


def _logical(node: ast.BoolOp, level: int) -> Expr:
    operands = several(node.values, level)
    if len(operands) > _LONG_CONDITION:
        return Compound("logical", operands)
    word: Literal["and", "or"] = "and" if isinstance(node.op, ast.And) else "or"
    return Logical(word, operands, tuple([span_of(value) for value in node.values]))


def _unary(node: ast.UnaryOp, level: int) -> Expr:
    if isinstance(node.op, ast.Not):
        return Not(expression(node.operand, level))
    if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        number = node.operand.value
        if isinstance(number, (int, float)):
            return Constant(-number)
    return Compound(type(node.op).__name__, (expression(node.operand, level),))


def _compare(node: ast.Compare, level: int) -> Expr:
    nodes = [node.left, *node.comparators]
    compared = several(nodes, level)
    if len(nodes) == 2:
        return Compare(compared[0], _COMPARE[type(node.ops[0])], compared[1])
    links = [Compare(compared[i], _COMPARE[type(op)], compared[i + 1]) for i, op in enumerate(node.ops)]
    if len(links) > _LONG_CONDITION:
        return Compound("logical", compared)
    spans = [span_of(item) for item in nodes]
    return Logical("and", tuple(links), tuple([between(spans[i], spans[i + 1]) for i in range(len(links))]))


def _conditional(node: ast.IfExp, level: int) -> Expr:
    test, then, orelse = expression(node.test, level), expression(node.body, level), expression(node.orelse, level)
    return Conditional(test, then, orelse, span_of(node), span_of(node.test))


def _bind(node: ast.NamedExpr, level: int) -> Expr:
    return Bind(node.target.id, expression(node.value, level))


def _lambda(node: ast.Lambda, level: int) -> Expr:
    return Lambda(tuple([parameter.name for parameter in parameters(node.args, level)]), expression(node.body, level))


def _binary(node: ast.BinOp, level: int) -> Expr:
    kind = type(node.op).__name__
    terms = _terms(node)
    return Compound(kind, several(terms if len(terms) > _LONG_SUM else (node.left, node.right), level))


def _terms(node: ast.BinOp) -> list[ast.expr]:
    """The operands of a long chain such as `a + b - c`, which Python nests to the left; just two for a short one."""
    spine: list[ast.BinOp] = [node]
    while isinstance(left := spine[-1].left, ast.BinOp):
        spine.append(left)
    return [spine[-1].left, *[part.right for part in reversed(spine)]]


def _elements(node: ast.Tuple | ast.List | ast.Set, level: int) -> Expr:
    return Compound(type(node).__name__, several(node.elts, level))


def _compound(node: ast.expr, level: int) -> Expr:
    children = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
    return Compound(type(node).__name__, several(children, level))


def _comprehension(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, level: int) -> Expr:
    if isinstance(node, ast.DictComp):
        parts = [part for part in (node.key, node.value) if part is not None]
        element: Expr = Compound("item", several(parts, level))
    else:
        element = expression(node.elt, level)
    tests = [test for generator in node.generators for test in generator.ifs]
    return Comprehension(
        several([generator.target for generator in node.generators], level),
        several([generator.iter for generator in node.generators], level),
        several(tests, level),
        element,
        span_of(node),
        tuple([span_of(test) for test in tests]),
    )


_LOWER: Final[Mapping[type[ast.expr], Callable[..., Expr]]] = {
    ast.Attribute: _attribute,
    ast.Call: _call,
    ast.Yield: _yield,
    ast.Await: _inner,
    ast.YieldFrom: _yield_from,
    ast.Starred: _inner,
    ast.Subscript: _subscript,
    ast.BoolOp: _logical,
    ast.UnaryOp: _unary,
    ast.BinOp: _binary,
    ast.Compare: _compare,
    ast.IfExp: _conditional,
    ast.NamedExpr: _bind,
    ast.Lambda: _lambda,
    ast.Tuple: _elements,
    ast.List: _elements,
    ast.Set: _elements,
    ast.ListComp: _comprehension,
    ast.SetComp: _comprehension,
    ast.GeneratorExp: _comprehension,
    ast.DictComp: _comprehension,
}
