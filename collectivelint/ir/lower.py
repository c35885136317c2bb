"""From `ast` to the event tree: one file in, its functions out, positions kept."""

from __future__ import annotations

import ast
import sys
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final, Literal

from ..program.imports import bindings
from .nodes import (
    Assert,
    Assign,
    Attribute,
    Bind,
    Block,
    Branch,
    Call,
    Compare,
    Compound,
    Comprehension,
    Conditional,
    Constant,
    Declared,
    Define,
    Evaluate,
    Exit,
    Expr,
    Function,
    Lambda,
    Logical,
    Loop,
    Name,
    Not,
    Parameter,
    Span,
    Statement,
    Subscript,
    Try,
    With,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..source.annotations import Annotation

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
#: Frames that lowering may take, two or three for each level of nesting; all later steps need less than three times as many.
_MOST_FRAMES: Final = 6_500
#: Sums of more terms than this are generated, and one value of so many parts instead of as many values in each other.
_LONG_SUM: Final = 64
#: Conditions of more operands than this are generated too, and judged as a whole.
_LONG_CONDITION: Final = 500


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
    sys.setrecursionlimit(_depth() + _MOST_FRAMES)
    try:
        body = lowering.block(tree.body, "", None)
    finally:
        sys.setrecursionlimit(limit)
    end = max((statement.end_lineno or 1 for statement in tree.body), default=1)
    module = Function(path, "<module>", None, (), (), None, body, (), Span(1, 0, end, 0))
    return {"<module>": module, **lowering.functions}


def _depth() -> int:
    """How many frames there are now: files are also lowered in the middle of the analysis of others."""
    depth, frame = 0, sys._getframe()
    while frame.f_back is not None:
        depth, frame = depth + 1, frame.f_back
    return depth


def span_of(node: ast.expr | ast.stmt | ast.pattern) -> Span:
    """Where a node stands."""
    return Span(node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)


def _between(first: Span, last: Span) -> Span:
    """From the start of the first to the end of the last."""
    return Span(first.line, first.column, last.end_line, last.end_column)


class _Lowering:
    """Collects the functions of one file while its statements are lowered."""

    def __init__(self, path: str, notes: Mapping[int, Annotation]) -> None:
        self.path = path
        self.notes = notes
        self.functions: dict[str, Function] = {}

    # ------------------------------------------------------------------------------------------------ statements

    def block(self, body: Sequence[ast.stmt], scope: str, owner: str | None) -> Block:
        """Lower statements that stand in `scope`, the dotted prefix of the names defined here."""
        lowered: list[Statement] = []
        for node in body:
            try:
                statement = self.statement(node, scope, owner)
            except RecursionError:
                raise TooDeepError(node.lineno, node.col_offset) from None
            if self.notes and not isinstance(statement, tuple) and statement is not None:
                statement = self.annotated(statement)
            if isinstance(statement, tuple):
                lowered.extend(statement)
            elif statement is not None:
                lowered.append(statement)
        return tuple(lowered)

    def annotated(self, statement: Statement) -> Statement:
        """The statement, with what a comment on its first or last line says of its value or its condition."""
        first = statement.span.line
        match statement:
            case Assign(value=value, span=span) | Exit(value=value, span=span) if value is not None:
                note = self.notes.get(first) or self.notes.get(span.end_line)
                return statement if note is None else replace(statement, value=Declared(value, note, span))
            case Branch(test=test, test_span=span):
                note = self.notes.get(first) or self.notes.get(span.end_line)
                return statement if note is None else replace(statement, test=Declared(test, note, span))
            case Loop(iterable=iterable, span=span):
                note = self.notes.get(first)
                return statement if note is None else replace(statement, iterable=Declared(iterable, note, span))
            case _:
                return statement

    def statement(self, node: ast.stmt, scope: str, owner: str | None) -> Statement | Block | None:
        """One statement; None where it has nothing to say, several for a chain of targets."""
        span = span_of(node)
        match node:
            case ast.Expr(value=value):
                return None if isinstance(value, ast.Constant) else Evaluate(expression(value), span)
            case ast.Assign(targets=targets, value=value):
                return Assign(tuple(expression(target) for target in targets), expression(value), span)
            case ast.AnnAssign(target=target, value=value, annotation=annotation):
                assigned = Constant(None) if value is None else expression(value)
                return Assign((expression(target),), assigned, span, expression(annotation))
            case ast.AugAssign(target=target, op=op, value=value):
                old = expression(target)
                # Only `+=` makes a list longer.
                kind = "augmented" if isinstance(op, ast.Add) else type(op).__name__
                return Assign((old,), Compound(kind, (old, expression(value))), span)
            case ast.If(test=test, body=body, orelse=orelse):
                then = self.block(body, scope, owner)
                return Branch(expression(test), then, self.block(orelse, scope, owner), span, span_of(test))
            case ast.For() | ast.AsyncFor():
                body_ = self.block(node.body, scope, owner)
                orelse_ = self.block(node.orelse, scope, owner)
                return Loop(expression(node.target), expression(node.iter), body_, orelse_, span, span_of(node.iter))
            case ast.While(test=test, body=body, orelse=orelse):
                body_ = self.block(body, scope, owner)
                return Loop(None, expression(test), body_, self.block(orelse, scope, owner), span, span_of(test))
            case ast.With() | ast.AsyncWith():
                items = tuple((expression(item.context_expr), _optional(item.optional_vars)) for item in node.items)
                return With(items, self.block(node.body, scope, owner), span)
            case ast.Return(value=value):
                return Exit("return", _optional(value), span)
            case ast.Raise(exc=value):
                return Exit("raise", _optional(value), span)
            case ast.Break():
                return Exit("break", None, span)
            case ast.Continue():
                return Exit("continue", None, span)
            case ast.Assert(test=test, msg=message):
                return Assert(expression(test), _optional(message), span)
            case ast.Match(subject=subject, cases=cases):
                return self.match(expression(subject), span_of(subject), cases, scope, owner)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                return self.function(node, scope, owner)
            case ast.ClassDef(name=name, body=body):
                qualname = f"{scope}{name}"
                inner = self.block(body, f"{qualname}.", qualname)
                body_name = f"{qualname}.<class>"
                self.functions[body_name] = Function(self.path, body_name, qualname, (), (), None, inner, (), span)
                return Define(name, qualname, span)
            case ast.Delete(targets=targets):
                return Evaluate(Compound("delete", tuple(expression(target) for target in targets)), span)
            case _ if isinstance(node, ast.Try) or type(node).__name__ == "TryStar":
                return self.try_(node, scope, owner, span)  # type: ignore[arg-type]  # ast.TryStar is new in 3.11
            case _:
                return None

    def try_(self, node: ast.Try, scope: str, owner: str | None, span: Span) -> Try:
        handlers = tuple(
            (_optional(handler.type), handler.name, self.block(handler.body, scope, owner)) for handler in node.handlers
        )
        body, orelse = self.block(node.body, scope, owner), self.block(node.orelse, scope, owner)
        return Try(body, handlers, orelse, self.block(node.finalbody, scope, owner), span)

    def match(
        self, subject: Expr, where: Span, cases: Sequence[ast.match_case], scope: str, owner: str | None
    ) -> Block:
        """`match` as a chain of branches on whether each pattern fits."""
        if not cases:
            return ()
        first, *rest = cases
        pattern = first.pattern
        test: Expr = Compound("match", (subject, Constant(ast.unparse(pattern))))
        if isinstance(pattern, ast.MatchValue):
            test = Compare(subject, "==", expression(pattern.value))
        pattern_span = span_of(pattern)
        test_span, compared = pattern_span, where if _compares(pattern) else None
        if first.guard is not None and compared is None:
            # What fits anything is no condition.
            test, test_span = expression(first.guard), span_of(first.guard)
        elif first.guard is not None:
            guard_span = span_of(first.guard)
            test = Logical("and", (test, expression(first.guard)), (pattern_span, guard_span))
            test_span = _between(pattern_span, guard_span)
        last_line = first.body[-1].end_lineno or pattern.lineno
        span = Span(pattern.lineno, pattern.col_offset, last_line, first.body[-1].end_col_offset or 0)
        then = self.block(first.body, scope, owner)
        if names := tuple(Name(name) for name in _captured(pattern)):
            part = Compound("capture", (subject,))
            then = (*(Assign((name,), part, pattern_span) for name in names), *then)
        if isinstance(pattern, ast.MatchAs) and pattern.pattern is None and first.guard is None:
            return then
        orelse = self.match(subject, where, rest, scope, owner)
        return (Branch(test, then, orelse, span, test_span, compared),)

    def function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, scope: str, owner: str | None) -> Define:
        qualname = f"{scope}{node.name}"
        body = self.block(node.body, f"{qualname}.<locals>.", None)
        imports = tuple((name, target) for name, targets in bindings(node.body).items() for target in targets)
        if qualname in self.functions:
            # Defined again (`if ...: def f` / `else: def f`, a property's setter): callers mean the last one, but all
            # are looked at. A number that no name can contain keeps them apart.
            number = 1 + sum(name.startswith(f"{qualname}#") for name in self.functions)
            self.functions[f"{qualname}#{number}"] = replace(self.functions[qualname], qualname=f"{qualname}#{number}")
        self.functions[qualname] = Function(
            path=self.path,
            qualname=qualname,
            owner=owner,
            params=parameters(node.args),
            decorators=tuple(expression(decorator) for decorator in node.decorator_list),
            returns=_optional(node.returns),
            body=body,
            imports=imports,
            span=span_of(node),
            annotation=self.note_of(node) if self.notes else None,
        )
        return Define(node.name, qualname, span_of(node))

    def note_of(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> Annotation | None:
        """The annotation on the lines of its decorators and its signature."""
        first = min((decorator.lineno for decorator in node.decorator_list), default=node.lineno)
        last = max(node.lineno, node.body[0].lineno - 1)
        return next((self.notes[line] for line in range(first, last + 1) if line in self.notes), None)


def _compares(pattern: ast.pattern) -> bool:
    """Does a pattern compare anything, as `_` and a mere name do not?"""
    return not isinstance(pattern, ast.MatchAs) or (pattern.pattern is not None and _compares(pattern.pattern))


def _captured(pattern: ast.pattern) -> Iterator[str]:
    """The names that a pattern binds."""
    for node in ast.walk(pattern):
        name = getattr(node, "rest", None) if isinstance(node, ast.MatchMapping) else getattr(node, "name", None)
        if isinstance(node, (ast.MatchAs, ast.MatchStar, ast.MatchMapping)) and name is not None:
            yield name


def parameters(args: ast.arguments) -> tuple[Parameter, ...]:
    """The parameters of a function, in call order."""
    positional = [*args.posonlyargs, *args.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    found: list[Parameter] = []

    def add(arg: ast.arg, kind: str, default: ast.expr | None = None) -> None:
        found.append(Parameter(arg.arg, kind, _optional(default), _optional(arg.annotation)))  # type: ignore[arg-type]

    for arg, default in zip(positional, defaults, strict=True):
        add(arg, "positional", default)
    if args.vararg:
        add(args.vararg, "args")
    for arg, default in zip(args.kwonlyargs, args.kw_defaults, strict=True):
        add(arg, "keyword", default)
    if args.kwarg:
        add(args.kwarg, "kwargs")
    return tuple(found)


def _optional(node: ast.expr | None) -> Expr | None:
    return None if node is None else expression(node)


def expression(node: ast.expr) -> Expr:
    """Lower one expression."""
    match node:
        case ast.Name(id=name):
            return _name(name)
        case ast.Attribute(value=value, attr=attr):
            return Attribute(expression(value), attr)
        case ast.Constant(value=value):
            return Constant(value)
        case ast.Call(func=function, args=args, keywords=keywords):
            spread = any(isinstance(arg, ast.Starred) for arg in args) or any(word.arg is None for word in keywords)
            return Call(
                expression(function),
                tuple(expression(arg) for arg in args),
                tuple((word.arg or "**", expression(word.value)) for word in keywords),
                spread,
                span_of(node),
            )
        case ast.Yield(value=value):
            return Compound("yield", () if value is None else (expression(value),))
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
            bounds = tuple(Constant(None) if part is None else expression(part) for part in (lower, upper, step))
            return Subscript(expression(value), Compound("Slice", bounds))
        case ast.Await(value=value) | ast.YieldFrom(value=value) | ast.Starred(value=value):
            return expression(value)
        case ast.BoolOp(op=op, values=values):
            operands = tuple(expression(value) for value in values)
            if len(operands) > _LONG_CONDITION:
                return Compound("logical", operands)
            word: Literal["and", "or"] = "and" if isinstance(op, ast.And) else "or"
            return Logical(word, operands, tuple(span_of(value) for value in values))
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return Not(expression(operand))
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return Constant(-number)
        case ast.Compare(left=left, ops=ops, comparators=comparators):
            compared = tuple(expression(item) for item in (left, *comparators))
            links = tuple(Compare(compared[i], _COMPARE[type(op)], compared[i + 1]) for i, op in enumerate(ops))
            if len(links) > _LONG_CONDITION:
                return Compound("logical", compared)
            if len(links) == 1:
                return links[0]
            spans = [span_of(item) for item in (left, *comparators)]
            return Logical("and", links, tuple(map(_between, spans, spans[1:])))
        case ast.IfExp(test=test, body=body, orelse=orelse):
            return Conditional(expression(test), expression(body), expression(orelse), span_of(node), span_of(test))
        case ast.Subscript(value=value, slice=index):
            return Subscript(expression(value), expression(index))
        case ast.NamedExpr(target=ast.Name(id=name), value=value):
            return Bind(name, expression(value))
        case ast.Lambda(args=args, body=body):
            return Lambda(tuple(parameter.name for parameter in parameters(args)), expression(body))
        case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
            return _comprehension(node)
        case _:
            kind = type(node).__name__
            if isinstance(node, (ast.BinOp, ast.UnaryOp)):
                kind = type(node.op).__name__
            if isinstance(node, ast.BinOp) and len(terms := _terms(node)) > _LONG_SUM:
                return Compound(kind, tuple(expression(term) for term in terms))
            parts = tuple(expression(child) for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr))
            return Compound(kind, parts)


def _terms(node: ast.BinOp) -> list[ast.expr]:
    """The operands of a chain such as `a + b - c`, which Python nests to the left; two where it is not long."""
    spine: list[ast.BinOp] = [node]
    while isinstance(left := spine[-1].left, ast.BinOp):
        spine.append(left)
    return [spine[-1].left, *(part.right for part in reversed(spine))]


@cache
def _name(name: str) -> Name:
    """One object for all uses of a name: they are a third of all expressions."""
    return Name(name)


def _comprehension(node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> Comprehension:
    if isinstance(node, ast.DictComp):
        parts = [part for part in (node.key, node.value) if part is not None]
        element: Expr = Compound("item", tuple(expression(part) for part in parts))
    else:
        element = expression(node.elt)
    return Comprehension(
        tuple(expression(generator.target) for generator in node.generators),
        tuple(expression(generator.iter) for generator in node.generators),
        tuple(expression(test) for generator in node.generators for test in generator.ifs),
        element,
        span_of(node),
        tuple(span_of(test) for generator in node.generators for test in generator.ifs),
    )
