"""From `ast` to the event tree: one file in, its functions out, positions kept."""

from __future__ import annotations

import ast
import sys
from typing import TYPE_CHECKING, Final

from ..program.imports import bindings
from .expressions import Compound, Constant, Declared
from .lower_expressions import MOST_LEVELS, expression, optional, parameters, several, span_of
from .lower_match import bound, compares, condition, span_of_case
from .span import Span
from .statements import Assert, Assign, Branch, Define, Evaluate, Exit, Function, Loop, Try, With

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..source.annotations import Annotation
    from .expressions import Expr
    from .statements import Block, Statement

__all__ = ["TooDeepError", "expression", "lower_module"]

#: Frames that lowering may take: up to four for each level of nesting.
_MOST_FRAMES: Final = 4 * MOST_LEVELS + 500


class TooDeepError(Exception):
    """A statement that is nested too deeply to be walked; `line` (from 1) and `column` (from 0) say where it begins."""

    def __init__(self, line: int, column: int) -> None:
        """Keep where it begins."""
        super().__init__(f"line {line}")
        self.line, self.column = line, column


def lower_module(tree: ast.Module, path: str, notes: Mapping[int, Annotation] | None = None) -> dict[str, Function]:
    """All functions of a module by qualified name; its own body is `<module>`, that of a class `Class.<class>`.

    `notes` are the annotations in its comments, by line. Raise TooDeepError if it cannot be walked.
    """
    lowering = _Lowering(path, notes or {})
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(max(limit, _depth() + _MOST_FRAMES))
    try:
        body = lowering.block(tree.body, "", None, 0)
    finally:
        sys.setrecursionlimit(limit)
    end = max((statement.end_lineno or 1 for statement in tree.body), default=1)
    module = Function(path, "<module>", None, (), (), None, body, (), Span(1, 0, end, 0))
    return {"<module>": module, **lowering.functions}


def _depth() -> int:
    """The current depth of the Python stack: files are also lowered in the middle of the analysis of others."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


class _Lowering:
    """Collects the functions of one file while its statements are lowered."""

    def __init__(self, path: str, notes: Mapping[int, Annotation]) -> None:
        self.path = path
        self.notes = notes
        self.functions: dict[str, Function] = {}

    def block(self, body: Sequence[ast.stmt], scope: str, owner: str | None, level: int) -> Block:
        """Lower statements that stand in `scope`, the dotted prefix of the names defined here, `level` deep."""
        if level > MOST_LEVELS:
            raise RecursionError
        lowered: list[Statement] = []
        for node in body:
            try:
                statement = self.statement(node, scope, owner, level + 1)
            except RecursionError:
                raise TooDeepError(node.lineno, node.col_offset) from None
            if isinstance(statement, tuple):
                lowered.extend(statement)
            elif statement is not None:
                lowered.append(self.annotated(statement) if self.notes else statement)
        return tuple(lowered)

    def annotated(self, statement: Statement) -> Statement:
        """The statement, with the annotation on its first or last line applied to its value or condition."""
        span = statement.span
        note = self.notes.get(span.line)
        if isinstance(statement, Loop):
            if note is None:
                return statement
            iterable = Declared(statement.iterable, note, span)
            return Loop(statement.target, iterable, statement.body, statement.orelse, span, statement.head)
        if isinstance(statement, Branch):
            where = statement.test_span
            note = note or self.notes.get(where.end_line)
            if note is None:
                return statement
            test = Declared(statement.test, note, where)
            return Branch(test, statement.then, statement.orelse, span, where, statement.subject)
        note = note or self.notes.get(span.end_line)
        if note is not None and isinstance(statement, Assign):
            return Assign(statement.targets, Declared(statement.value, note, span), span, statement.annotation)
        if note is not None and isinstance(statement, Exit) and statement.value is not None:
            return Exit(statement.kind, Declared(statement.value, note, span), span)
        return statement

    def statement(self, node: ast.stmt, scope: str, owner: str | None, level: int) -> Statement | Block | None:
        """Lower one statement; None if the event tree does not need it, several for a chain of targets."""
        span = span_of(node)
        match node:
            case ast.Expr(value=value):
                return None if isinstance(value, ast.Constant) else Evaluate(expression(value, level), span)
            case ast.Assign(targets=targets, value=value):
                return Assign(several(targets, level), expression(value, level), span)
            case ast.If(test=test, body=body, orelse=orelse):
                then = self.block(body, scope, owner, level)
                return Branch(
                    expression(test, level), then, self.block(orelse, scope, owner, level), span, span_of(test)
                )
            case ast.Return(value=value):
                return Exit("return", optional(value, level), span)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self.function(node, scope, owner, level)
            case ast.For() | ast.AsyncFor():
                return self.loop(node.target, node.iter, node, scope, owner, level)
            case ast.AugAssign(target=target, op=op, value=value):
                old = expression(target, level)
                # Only `+=` makes a list longer.
                kind = "augmented" if isinstance(op, ast.Add) else type(op).__name__
                return Assign((old,), Compound(kind, (old, expression(value, level))), span)
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                assigned = Constant(None) if value is None else expression(value, level)
                return Assign((expression(target, level),), assigned, span, expression(annotation, level))
            case ast.With() | ast.AsyncWith():
                items = [
                    (expression(item.context_expr, level), optional(item.optional_vars, level)) for item in node.items
                ]
                return With(tuple(items), self.block(node.body, scope, owner, level), span)
            case ast.Raise(exc=value):
                return Exit("raise", optional(value, level), span)
            case ast.Assert(test=test, msg=message):
                return Assert(expression(test, level), optional(message, level), span)
            case ast.ClassDef(name=name, body=body):
                qualname = f"{scope}{name}"
                inner = self.block(body, f"{qualname}.", qualname, level)
                body_name = f"{qualname}.<class>"
                self.functions[body_name] = Function(self.path, body_name, qualname, (), (), None, inner, (), span)
                return Define(name, qualname, span)
            case ast.While(test=test):
                return self.loop(None, test, node, scope, owner, level)
            case ast.Break():
                return Exit("break", None, span)
            case ast.Continue():
                return Exit("continue", None, span)
            case ast.Delete(targets=targets):
                return Evaluate(Compound("delete", several(targets, level)), span)
            case ast.Match(subject=subject, cases=cases):
                return self.match(expression(subject, level), span_of(subject), cases, scope, owner, level)
            case _ if isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
                return self.try_(node, scope, owner, level)  # type: ignore[arg-type]  # ast.TryStar is new in 3.11
            case _:
                return None

    def loop(
        self,
        target: ast.expr | None,
        iterable: ast.expr,
        node: ast.For | ast.AsyncFor | ast.While,
        scope: str,
        owner: str | None,
        level: int,
    ) -> Loop:
        body, orelse = self.block(node.body, scope, owner, level), self.block(node.orelse, scope, owner, level)
        return Loop(
            optional(target, level), expression(iterable, level), body, orelse, span_of(node), span_of(iterable)
        )

    def try_(self, node: ast.Try, scope: str, owner: str | None, level: int) -> Try:
        handlers = [
            (optional(handler.type, level), handler.name, self.block(handler.body, scope, owner, level))
            for handler in node.handlers
        ]
        body, orelse = self.block(node.body, scope, owner, level), self.block(node.orelse, scope, owner, level)
        return Try(body, tuple(handlers), orelse, self.block(node.finalbody, scope, owner, level), span_of(node))

    def match(
        self, subject: Expr, where: Span, cases: Sequence[ast.match_case], scope: str, owner: str | None, level: int
    ) -> Block:
        """Lower `match` to a chain of branches that test whether each pattern matches."""
        if not cases:
            return ()
        if level > MOST_LEVELS:
            raise RecursionError
        first, *rest = cases
        pattern = first.pattern
        test, test_span = condition(first, subject, level)
        then = (*bound(pattern, subject), *self.block(first.body, scope, owner, level))
        if isinstance(pattern, ast.MatchAs) and pattern.pattern is None and first.guard is None:
            return then
        orelse = self.match(subject, where, rest, scope, owner, level + 1)
        return (Branch(test, then, orelse, span_of_case(first), test_span, where if compares(pattern) else None),)

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: str, owner: str | None, level: int
    ) -> Define:
        qualname, span = f"{scope}{node.name}", span_of(node)
        body = self.block(node.body, f"{qualname}.<locals>.", None, level)
        imports = [(name, target) for name, targets in bindings(node.body).items() for target in targets]
        if qualname in self.functions:
            # Defined again (`if ...: def f` / `else: def f`, a property's setter): callers mean the last one, but all
            # are looked at. A number that no name can contain keeps them apart.
            number = 1 + sum(name.startswith(f"{qualname}#") for name in self.functions)
            self.functions[f"{qualname}#{number}"] = self.functions[qualname].renamed(f"{qualname}#{number}")
        self.functions[qualname] = Function(
            self.path,
            qualname,
            owner,
            parameters(node.args, level),
            several(node.decorator_list, level),
            optional(node.returns, level),
            body,
            tuple(imports),
            span,
            self.note_of(node) if self.notes else None,
        )
        return Define(node.name, qualname, span)

    def note_of(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Annotation | None:
        """The annotation on the lines of its decorators and its signature."""
        first = min((decorator.lineno for decorator in node.decorator_list), default=node.lineno)
        last = max(node.lineno, node.body[0].lineno - 1)
        for line in range(first, last + 1):
            if line in self.notes:
                return self.notes[line]
        return None
