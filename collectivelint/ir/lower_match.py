"""Lowers the patterns of `match`: what is compared, what a pattern binds, and the condition of a case."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from .expressions import Compare, Compound, Constant, Logical, Name
from .lower_expressions import expression, span_of
from .span import Span, between
from .statements import Assign

if TYPE_CHECKING:
    from .expressions import Expr
    from .statements import Statement


def condition(case: ast.match_case, subject: Expr, level: int) -> tuple[Expr, Span]:
    """The condition that `subject` matches the pattern and guard of a case, and its span."""
    pattern = case.pattern
    test: Expr = Compound("match", (subject, Constant(ast.unparse(pattern))))
    if isinstance(pattern, ast.MatchValue):
        test = Compare(subject, "==", expression(pattern.value, level))
    span = span_of(pattern)
    if case.guard is None:
        return test, span
    guard, guard_span = expression(case.guard, level), span_of(case.guard)
    if not compares(pattern):
        # What fits anything is no condition.
        return guard, guard_span
    return Logical("and", (test, guard), (span, guard_span)), between(span, guard_span)


def bound(pattern: ast.pattern, subject: Expr) -> list[Statement]:
    """The assignments of the names that a pattern binds."""
    names: list[str] = []
    for node in ast.walk(pattern):
        if isinstance(node, ast.MatchMapping):
            if node.rest is not None:
                names.append(node.rest)
        elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name is not None:
            names.append(node.name)
    part, span = Compound("capture", (subject,)), span_of(pattern)
    return [Assign((Name(name),), part, span) for name in names]


def compares(pattern: ast.pattern) -> bool:
    """Whether a pattern tests anything; `_` and a plain name do not."""
    return not isinstance(pattern, ast.MatchAs) or (pattern.pattern is not None and compares(pattern.pattern))


def span_of_case(case: ast.match_case) -> Span:
    """The span from the pattern to the end of the body."""
    last, start = case.body[-1], case.pattern
    return Span(start.lineno, start.col_offset, last.end_lineno or start.lineno, last.end_col_offset or 0)
