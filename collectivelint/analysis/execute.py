"""Statements: how they change the variables, and the term they add."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..events import (
    Assert,
    Assign,
    Attribute,
    Block,
    Branch,
    Call,
    Compare,
    Constant,
    Define,
    Evaluate,
    Exit,
    Expr,
    Function,
    Logical,
    Loop,
    Name,
    Not,
    Parameter,
    Span,
    Subscript,
    Try,
    With,
)
from ..program import Target
from .apply import invoke
from .branching import atoms, decide, joined
from .effects import Choice, Guard, Leave, Repeat, Term, summarise, tidy
from .evaluate import condition, evaluate
from .facts import FunctionFacts, Invariant
from .frame import Context, Frame
from .names import bind, conventional, plain
from .values import NONE, UNKNOWN, Value, flow, join

if TYPE_CHECKING:
    from collections.abc import Mapping


def interpret(context: Context, function: Function, closure: Mapping[str, Value]) -> FunctionFacts:
    """Interpret a function once; everything the rules and its callers need to know of it."""
    facts = FunctionFacts(function)
    frame = Frame(context, function, facts, {}, closure, function.span, imports=dict(function.imports))
    for position, parameter in enumerate(function.params):
        frame.variables[parameter.name] = _parameter(frame, parameter, first=position == 0)
    _block(frame, function.body)
    facts.term = tidy(tuple(frame.out))
    facts.summary = summarise(facts.term)
    facts.variables = frame.variables
    return facts


def _parameter(frame: Frame, parameter: Parameter, *, first: bool) -> Value:
    """What is known of a parameter before anybody calls: its class, its annotation, its name."""
    form = f"${parameter.name}"
    plain_value = Value(form, depends=frozenset({parameter.name}))
    function = frame.function
    if first and function.owner is not None:
        owner = Target("class", function.path, function.owner)
        return replace(plain_value, depends=frozenset(), instance=owner)
    if parameter.annotation is not None:
        annotated = _annotated(frame, parameter.annotation)
        if annotated is not None and annotated.kind == "class":
            return replace(plain_value, instance=annotated)
        if annotated is not None and annotated.name in frame.context.catalog.classes:
            meaning = frame.context.catalog.classes[annotated.name]
            return replace(plain_value, type=annotated.name, meaning=meaning)
    for meaning in ("rank", "group"):
        optional = parameter.default == Constant(None)
        convention = frame.context.catalog.convention(parameter.name, meaning, optional=optional)
        if convention is not None:
            value = conventional(frame, meaning, convention.axis, form, Name(parameter.name))
            return replace(value, depends=plain_value.depends)
    return plain_value


def _annotated(frame: Frame, annotation: Expr) -> Target | None:
    """The class an annotation names, `Optional[...]` and `... | None` looked through."""
    match annotation:
        case Constant(value=str(text)) if text.replace(".", "").isidentifier():
            name: str | None = text
        case Subscript(value=container, index=index) if (plain(container) or "").endswith("Optional"):
            return _annotated(frame, index)
        case Name() | Attribute():
            name = plain(annotation)
        case _ if getattr(annotation, "kind", "") == "BitOr":
            parts = [_annotated(frame, part) for part in annotation.parts]  # type: ignore[union-attr]
            known = [part for part in parts if part is not None]
            return known[0] if len(known) == 1 else None
        case _:
            return None
    if name is None:
        return None
    head, _, rest = name.partition(".")
    if head in frame.imports:
        return frame.context.program.absolute(frame.path, frame.imports[head] + (f".{rest}" if rest else ""))
    return frame.context.program.resolve(frame.path, name)


def _block(frame: Frame, block: Block) -> None:
    for statement in block:
        frame.statement = statement.span
        match statement:
            case Evaluate(value=value):
                evaluate(frame, value)
            case Assign():
                _assign(frame, statement)
            case Branch():
                _branch(frame, statement)
            case Loop():
                _loop(frame, statement)
            case Try():
                _try(frame, statement)
            case With():
                _with(frame, statement)
            case Exit():
                _exit(frame, statement)
                return
            case Assert(test=test, message=message, span=span):
                if message is not None:
                    outer, frame.out = frame.out, []
                    evaluate(frame, message)
                    frame.out = outer
                checked = evaluate(frame, test)
                if checked.origins and not _narrows(test):
                    frame.facts.invariants.append(Invariant(frame.function, span, checked.origins))
            case Define(name=name, qualname=qualname):
                known = frame.context.program.functions(frame.path)
                if qualname in known:
                    # These run now, not when the function is called.
                    for part in (*known[qualname].decorators, *(item.default for item in known[qualname].params)):
                        if part is not None:
                            evaluate(frame, part)
                target_ = Target("function" if qualname in known else "class", frame.path, qualname)
                if frame.function.qualname != "<module>":
                    # What a function of a module sees around it are globals, and those other functions may rebind.
                    frame.context.define(frame.path, qualname, frame.variables)
                frame.variables[name] = Value(qualname, target=target_)


def _with(frame: Frame, statement: With) -> None:
    """`with`: what entering and leaving run, around the body."""
    managers: list[Value] = []
    for expr, target in statement.items:
        manager = evaluate(frame, expr)
        managers.append(manager)
        entered = _half(frame, manager, ("__enter__", "__aenter__"), statement.span)
        if target is not None:
            # A manager nearly always hands out itself.
            bind(frame, target, entered if entered is not None and entered.instance is not None else manager)
    _block(frame, statement.body)
    if not (frame.out and isinstance(frame.out[-1], Leave)):
        for manager in reversed(managers):
            _half(frame, manager, ("__exit__", "__aexit__"), statement.span)


def _half(frame: Frame, manager: Value, names: tuple[str, ...], span: Span) -> Value | None:
    """Enter or leave a context manager of the program; None for any other."""
    if manager.instance is None:
        return None
    for name in names:
        targets = frame.context.program.methods(manager.instance, name)
        if targets:
            head = Span(span.line, span.column, span.line, span.column + len("with"))
            callee = Value(f"{manager.form}.{name}", target=targets[0], receiver=manager)
            return invoke(frame, targets, callee, Call(Name(name), (), (), False, head), [], {})
    return None


def _narrows(test: Expr) -> bool:
    """Does an assert only tell a type checker, or a reader, what kind of thing a value is?"""
    match test:
        case Logical(values=values):
            return all(_narrows(value) for value in values)
        case Not(value=value):
            return _narrows(value)
        case Compare(op="is" | "is not"):
            return True
        case Call(function=Name(id="isinstance" | "hasattr" | "callable" | "issubclass")):
            return True
        case Name() | Attribute():
            return True
        case _:
            return False


def _assign(frame: Frame, statement: Assign) -> None:
    value = evaluate(frame, statement.value)
    if statement.annotation is not None and value.instance is None and value.meaning is None:
        annotated = _annotated(frame, statement.annotation)
        if annotated is not None and annotated.kind == "class":
            value = replace(value, instance=annotated)
    for target in statement.targets:
        if not isinstance(target, (Name, Attribute)):
            evaluate(frame, target)
        if value.constant is UNKNOWN and value.target is None and isinstance(target, Name) and not _stable(value):
            bind(frame, target, replace(value, form=frame.fresh(target.id, statement.span)))
        else:
            bind(frame, target, value)


def _stable(value: Value) -> bool:
    """Does the form still mean the same value later on? Ranks, parameters and groups do; other texts may not."""
    return bool(value.varies or value.meaning or value.instance or value.depends)


def _exit(frame: Frame, statement: Exit) -> None:
    value = evaluate(frame, statement.value) if statement.value is not None else NONE
    if statement.kind == "return":
        known = frame.facts.returns
        fresh = frame.fresh("result", frame.function.span)
        frame.facts.returns = value if known is None else _either(known, value, fresh)
    frame.out.append(Leave(statement.kind))


def _either(one: Value, other: Value, fresh: str) -> Value:
    """The result of a function that returns either: `return 0` beside `return get_rank()` is still a rank."""
    if one.type == "rank" or other.type == "rank":
        rank, rest = (one, other) if one.type == "rank" else (other, one)
        if rest.constant is not UNKNOWN:
            return rank
    if one.one is not None and other.constant is not UNKNOWN:
        return one
    if other.one is not None and one.constant is not UNKNOWN:
        return other
    return join(one, other, fresh)


def _branch(frame: Frame, statement: Branch) -> None:
    decided = decide(frame, atoms(statement.test), statement)
    before = frame.variables
    outer = frame.out
    arms: list[tuple[dict[str, Value], Term]] = []
    for body in (statement.then, statement.orelse):
        frame.variables, frame.out = dict(before), []
        _block(frame, body)
        arms.append((frame.variables, tuple(frame.out)))
    frame.out = outer
    (then_variables, then), (else_variables, orelse) = arms
    frame.out.extend(decided.term(then, orelse))
    frame.variables = joined(
        frame, before, [(then_variables, then), (else_variables, orelse)], decided.value, statement.span
    )


def _loop(frame: Frame, statement: Loop) -> None:
    outer, frame.out = frame.out, []
    if statement.target is None:
        value, guard = condition(frame, statement.iterable, statement.span)
        form = f"while {guard.form}"
        # The condition is computed once more than the body runs; its collectives belong to every turn.
        before: Term = tuple(frame.out)
    else:
        outer_items, frame.out = outer, []
        value = evaluate(frame, statement.iterable)
        outer_items.extend(frame.out)
        form, before = f"for {value.form}", ()
        frame.out = []
        bind(frame, statement.target, flow(frame.fresh("each", statement.span), (value,)))
    entering = dict(frame.variables)
    frame.out = []
    _block(frame, statement.body)
    body = (*before, *frame.out)
    frame.variables = joined(frame, entering, [(frame.variables, ()), (entering, ())], None, statement.span)
    frame.out = outer
    if body:
        frame.out.append(Repeat(form, body))
    _block(frame, statement.orelse)


def _try(frame: Frame, statement: Try) -> None:
    """`try`: a handler is an arm that may replace the rest of the body; nobody can say on which ranks."""
    entering = dict(frame.variables)
    outer, frame.out = frame.out, []
    _block(frame, statement.body)
    _block(frame, statement.orelse)
    body, after = tuple(frame.out), frame.variables
    arms: list[tuple[dict[str, Value], Term]] = [(after, body)]
    term = body
    for number, (_, name, block) in enumerate(statement.handlers):
        frame.variables, frame.out = dict(entering), []
        if name is not None:
            frame.variables[name] = Value(frame.fresh(name, statement.span))
        _block(frame, block)
        handler = tuple(frame.out)
        arms.append((frame.variables, handler))
        if handler:
            form = frame.fresh(f"exception {number}", statement.span)
            nobody: frozenset[str] = frozenset()
            guard = Guard(form, nobody, (), nobody, None, frame.path, statement.span, statement.span, own=False)
            term = (Choice(guard, handler, term),)
    frame.out = outer
    frame.out.extend(term)
    frame.variables = joined(frame, entering, arms, None, statement.span)
    _block(frame, statement.final)
