"""Statements: how they change the variables, and the term they add."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from ..events import (
    Assert,
    Assign,
    Attribute,
    Block,
    Branch,
    Call,
    Compare,
    Compound,
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
from .branching import atoms, decide, joined
from .decorators import around, decorated
from .effects import (
    Choice,
    Event,
    Fails,
    Guard,
    Item,
    Leave,
    Repeat,
    Term,
    continued,
    events,
    matters,
    size,
    summarise,
    tidy,
)
from .evaluate import condition, evaluate, guard_of, under
from .facts import FunctionFacts, Invariant
from .frame import Context, Frame
from .invoke import invoke
from .known import iterated
from .names import bind, conventional, plain
from .values import NONE, UNKNOWN, WORLD, Cause, Value, each, join, launched

if TYPE_CHECKING:
    from collections.abc import Mapping


def interpret(context: Context, function: Function, closure: Mapping[str, Value]) -> FunctionFacts:
    """Interpret a function once; everything the rules and its callers need to know of it."""
    facts = FunctionFacts(function)
    frame = Frame(context, function, facts, {}, closure, function.span, imports=dict(function.imports))
    for position, parameter in enumerate(function.params):
        frame.variables[parameter.name] = _parameter(frame, parameter, first=position == 0)
    _block(frame, function.body)
    facts.returns = _declared_result(frame, facts.returns or facts.alone)
    term = decorated(frame, tuple(frame.out))
    if matters(term):
        facts.term = tidy(term)
        facts.summary = summarise(facts.term)
    facts.events = tuple(events(facts.summary))
    if function.qualname == "<module>" or context.explaining:
        facts.variables = frame.variables
    return facts


def _parameter(frame: Frame, parameter: Parameter, *, first: bool) -> Value:
    """What is known of a parameter before anybody calls: its class, its annotation, its name."""
    form = f"${parameter.name}"
    plain_value = Value(form, depends=frozenset({parameter.name}))
    function = frame.function
    if first and function.owner is not None:
        owner = Target("class", function.path, function.owner)
        if any(plain(decorator) == "classmethod" for decorator in function.decorators):
            return Value(function.owner, target=owner)
        return plain_value.but(depends=frozenset(), instance=owner)
    if parameter.annotation is not None:
        annotated = _annotated(frame, parameter.annotation)
        if annotated is not None and annotated.kind == "class":
            return plain_value.but(instance=annotated)
        known = frame.context.catalog.class_of(annotated.name) if annotated is not None else None
        if known is not None:
            return plain_value.but(type=known, meaning=frame.context.catalog.classes.get(known))
    for meaning in ("rank", "group", "object"):
        optional = parameter.default == Constant(None)
        convention = frame.context.catalog.convention(parameter.name, meaning, optional=optional)
        if convention is not None and meaning == "object":
            return plain_value.but(type=convention.type)
        if convention is not None:
            value = conventional(frame, meaning, convention.axis, form, Name(parameter.name))
            return value.but(depends=plain_value.depends)
    return plain_value


def _declared_result(frame: Frame, value: Value | None) -> Value | None:
    """The result of a function, of the class that its signature says where nothing else tells."""
    annotation = frame.function.returns
    if annotation is None or (value is not None and (value.instance or value.type or value.meaning or value.target)):
        return value
    declared = _annotated(frame, annotation)
    if declared is None or declared.kind != "class":
        return value
    return (value or Value(frame.fresh("result", frame.function.span))).but(instance=declared)


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
                frame.dropped = value
                evaluate(frame, value)
                frame.dropped = None
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
                    # What a function of a module sees around it are globals, and those other functions may rebind. The
                    # names of a class are not seen by its methods, but those of the function around the class are.
                    in_class = frame.function.qualname.endswith("<class>")
                    frame.context.define(frame.path, qualname, frame.closure if in_class else frame.variables)
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
    outer, frame.out = frame.out, []
    _block(frame, statement.body)
    _leave_temporary(frame, statement, managers)
    for manager in reversed(managers):
        if manager.manager:
            frame.out = list(around(manager.manager, tuple(frame.out)))  # type: ignore[arg-type]  # a term
        elif not (frame.out and isinstance(frame.out[-1], Leave)):
            _half(frame, manager, ("__exit__", "__aexit__"), statement.span)
    frame.out = [*outer, *frame.out]


def _leave_temporary(frame: Frame, statement: With, managers: list[Value]) -> None:
    """A temporary folder is gone when the ranks that made it leave; it is noted unless they have met the others by then."""
    if frame.out and isinstance(frame.out[-1], (Event, Leave)):
        return
    for manager, (expr, _) in zip(managers, statement.items, strict=True):
        causes = tuple(cause for cause in manager.causes if cause.kind == "rank")
        if manager.type in frame.context.catalog.temporary and causes and not frame.alone_here:
            frame.statement = statement.span
            frame.note("temporary", _head(statement.span, "with"), causes, expr)


def _half(frame: Frame, manager: Value, names: tuple[str, ...], span: Span) -> Value | None:
    """Enter or leave a context manager of the program; None for any other."""
    if manager.instance is None:
        return None
    for name in names:
        targets = frame.context.program.methods(manager.instance, name)
        if targets:
            head = _head(span, "with")
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
            value = value.but(instance=annotated)
    for target in statement.targets:
        if not isinstance(target, (Name, Attribute)):
            evaluate(frame, target)
        if value.constant is UNKNOWN and value.target is None and isinstance(target, Name) and not _stable(value):
            bind(frame, target, value.but(form=frame.fresh(target.id, statement.span), was=value.form))
        else:
            bind(frame, target, value)


def _stable(value: Value) -> bool:
    """Does the form still mean the same value later on? Ranks, parameters and groups do; other texts may not."""
    return bool(value.varies or value.meaning or value.instance or value.depends)


def _exit(frame: Frame, statement: Exit) -> None:
    value = evaluate(frame, statement.value) if statement.value is not None else NONE
    if statement.kind == "return":
        facts = frame.facts
        if frame.guards:
            facts.return_guard = frame.guards[-1][1]
        if frame.alone:
            facts.alone = facts.alone or value
        elif facts.returns is None:
            facts.returns = value
        else:
            fresh = frame.fresh("result", frame.function.span)
            facts.returns = _either(
                facts.returns, value, fresh, facts.return_guard, frame.cause("branch", statement.span)
            )
    frame.out.append(Leave(statement.kind))


def _either(one: Value, other: Value, fresh: str, guard: Value | None, where: Cause) -> Value:
    """The result of a function that returns either: `return 0` beside `return get_rank()` is still a rank."""
    if one.type == "rank" or other.type == "rank":
        rank, rest = (one, other) if one.type == "rank" else (other, one)
        if rest.constant is not UNKNOWN:
            return rank
    if one.one is not None and other.constant is not UNKNOWN:
        return one
    if other.one is not None and one.constant is not UNKNOWN:
        return other
    return join(one, other, fresh, guard, where)


def _branch(frame: Frame, statement: Branch) -> None:
    decided = decide(frame, atoms(statement.test), statement)
    before = frame.variables
    outer = frame.out
    arms: list[tuple[dict[str, Value], Term]] = []
    guard = guard_of(frame, decided.value, statement.test_span)
    _fall_through(frame, statement, guard)
    distributed = launched(decided.value.form)
    worlds = _world_in(frame, statement.test)
    before_gone, gone = frame.gone, {}
    for holds, body in ((True, statement.then), (False, statement.orelse)):
        frame.variables, frame.out, frame.gone = dict(before), [], before_gone
        lonely = distributed is not None and distributed is not holds
        frame.alone += lonely
        frame.branches += distributed is None
        frame.worlds |= worlds[holds]
        with under(frame, guard, decided.value):
            _block(frame, body)
        frame.worlds -= worlds[holds]
        frame.alone -= lonely
        frame.branches -= distributed is None
        if _refuses(body) and {cause.kind for cause in guard.causes} == {"file system"}:
            frame.out[-1] = Leave("return", refused=True)
        arms.append((frame.variables, tuple(frame.out)))
        gone[holds] = frame.gone
    frame.gone = all(gone.values()) if distributed is None else gone[distributed]
    frame.out = outer
    (then_variables, then), (else_variables, orelse) = arms
    leaves = [bool(arm) and isinstance(arm[-1], Leave) for arm in (then, orelse)]
    frame.few |= any(leaves) and any(cause.kind == "rank" for cause in guard.causes)
    frame.out.extend(decided.term(then, orelse))
    frame.variables = joined(
        frame, before, [(then_variables, then), (else_variables, orelse)], decided.value, statement.span
    )


def _refuses(body: Block) -> bool:
    """`if os.path.isfile(folder): log.error(...); return`: a check of what was asked for, an exception in other words."""
    match body:
        case (Evaluate(value=Call(function=Attribute(name=("error" | "critical")))), Exit(kind="return", value=value)):
            return value is None or isinstance(value, Constant)
        case _:
            return False


def _fall_through(frame: Frame, statement: Branch, guard: Guard) -> None:
    """`if mode == "a" and rank == 0: ... elif mode == "b": ... else: raise`: in mode a, all ranks but one raise."""
    if not isinstance(statement.test, Logical) or statement.test.op != "and" or not guard.varies:
        return
    parts = [_quietly(frame, value) for value in statement.test.values]
    ranks = [any(cause.kind == "rank" for cause in part.causes) for part in parts]
    last: Block = statement.orelse
    chained = False
    while len(last) == 1 and isinstance(last[0], Branch):
        if any(cause.kind == "rank" for cause in _quietly(frame, last[0].test).causes):
            return
        last, chained = last[0].orelse, True
    raises = last[-1] if last else None
    if chained and any(ranks) and not all(ranks) and isinstance(raises, Exit) and raises.kind == "raise":
        found = (guard, raises.span)
        if not _always_leaves(statement.then) and found not in frame.facts.fallen:
            frame.facts.fallen.append(found)


def _quietly(frame: Frame, expr: Expr) -> Value:
    """The value of an expression that is evaluated elsewhere: without its effects."""
    outer, calls, frame.out = frame.out, list(frame.facts.calls), []
    value = evaluate(frame, expr)
    frame.out, frame.facts.calls = outer, calls
    return value


def _world_in(frame: Frame, test: Expr) -> dict[bool, set[str]]:
    """Which groups are the default group where a condition holds, and where it does not: `group is group.WORLD`."""
    found: dict[bool, set[str]] = {True: set(), False: set()}
    if isinstance(test, Compare) and test.op in ("==", "is", "!=", "is not"):
        outer, frame.out = frame.out, []
        forms = {evaluate(frame, test.left).form, evaluate(frame, test.right).form}
        frame.out = outer
        if WORLD in forms:
            found[test.op in ("==", "is")] = forms - {WORLD}
    return found


def _loop(frame: Frame, statement: Loop) -> None:
    """`for` and `while`: one turn is interpreted, a second one where the first has changed what varies."""
    entering, outer = dict(frame.variables), frame.out
    for _ in range(_MOST_TURNS):
        frame.out = []
        before = dict(frame.variables)
        _turn(frame, statement)
        looked = _carried(before, frame.variables)
        frame.variables = joined(frame, before, [(frame.variables, ()), (before, ())], None, statement.span)
        if not looked:
            break
    turn = tuple(frame.out)
    frame.out = [*outer, *turn]
    frame.variables = joined(frame, entering, [(frame.variables, ()), (entering, ())], None, statement.span)
    _block(frame, statement.orelse)


#: Turns of a loop that are interpreted until what varies at its head no longer changes.
_MOST_TURNS: Final = 2


def _carried(before: Mapping[str, Value], after: Mapping[str, Value]) -> bool:
    """Does a variable enter the next turn of a loop varying as it did not enter this one?"""
    return any(
        (value.varies and not known.varies) or (value.uneven and not known.uneven)
        for name, value in after.items()
        if (known := before.get(name)) is not None and known is not value
    )


def _turn(frame: Frame, statement: Loop) -> None:
    """Interpret a loop once; its `Repeat` becomes the frame's term."""
    over = unordered = None
    if statement.target is None:
        value, guard = condition(frame, statement.iterable, statement.span)
        form = f"while {guard.form}"
        # The condition is computed once more than the body runs; its collectives belong to every turn.
        head: tuple[Item, ...] = tuple(frame.out)
        before: tuple[Item, ...] = ()
        trips = guard if guard.varies or guard.depends else None
    else:
        value = evaluate(frame, statement.iterable)
        iterated(frame, statement.iterable, value, statement.span)
        head, before = (), tuple(frame.out)
        form = f"for {value.form}"
        unordered = value.unordered
        over = value.form[1:] if value.form[1:] in value.depends else None
        trips = _trips(frame, statement, value)
        bind(frame, statement.target, each(value, frame.fresh("each", statement.span)))
    frame.out = []
    frame.turns.append(value.form)
    if trips is not None:
        with under(frame, trips, value.but(varies=trips.varies, causes=trips.causes)):
            _block(frame, statement.body)
    else:
        _block(frame, statement.body)
    frame.turns.pop()
    body = (*head, *frame.out)
    frame.out = list(before)
    if body:
        frame.out.append(Repeat(form, body, trips, unordered, over))


def _trips(frame: Frame, statement: Loop, value: Value) -> Guard | None:
    """The number of turns as a condition, where it differs between ranks."""
    if not value.uneven:
        return None
    axes = value.varies or frozenset({WORLD})
    counted = Value(f"turns of {value.form}", axes, value.uneven, depends=value.depends)
    head = Span(statement.span.line, statement.span.column, statement.span.line, statement.span.column + len("for"))
    return guard_of(frame, counted, head)


def _try(frame: Frame, statement: Try) -> None:
    """`try`: a handler takes over where the body fails, which one rank may do alone."""
    entering, outer = dict(frame.variables), frame.out
    swallows = [not _always_leaves(block) for _, _, block in statement.handlers]
    names = [_failures(frame, kind) for kind, _, _ in statement.handlers]
    catching = any(swallow and name != "ours" for swallow, name in zip(swallows, names, strict=True))
    frame.out = []
    frame.catching += catching
    _block(frame, statement.body)
    frame.catching -= catching
    body, after = tuple(frame.out), frame.variables
    frame.out = []
    _block(frame, statement.orelse)
    whole: Term = (*body, *frame.out)
    arms: list[tuple[dict[str, Value], Term]] = [(frame.variables, whole)]
    failing = _first_failure(body)
    guard_value: Value | None = None
    for number, (_, name, block) in enumerate(statement.handlers):
        cause = failing[1] if failing is not None and names[number] == "any" else None
        prefix: Term = body[: failing[0]] if failing is not None else ()
        if names[number] == "local":
            cause, prefix = frame.cause("exception", statement.span), prefix if failing is not None else ()
        value = Value(frame.fresh(f"exception {number}", statement.span))
        if cause is not None:
            value = value.but(varies=frozenset({WORLD}), causes=(replace(cause, kind="exception"),))
            guard_value = value
        guard = guard_of(frame, value, _head(statement.span, "try"))
        if cause is None:
            guard = replace(guard, own=False)
        frame.variables, frame.out = dict(entering), []
        if name is not None:
            frame.variables[name] = Value(frame.fresh(name, statement.span))
        with under(frame, guard, value):
            _block(frame, block)
        handler = (*prefix, *frame.out)
        arms.append((frame.variables, handler))
        if frame.out or cause is not None:
            whole = (Choice(guard, handler, _without_raises(whole, tuple(frame.out))),)
    frame.out = [*outer, *whole]
    frame.variables = joined(frame, after, arms, guard_value, statement.span)
    _block(frame, statement.final)


def _head(span: Span, word: str) -> Span:
    return Span(span.line, span.column, span.line, span.column + len(word))


def _failures(frame: Frame, kind: Expr | None) -> Literal["local", "any", "ours"]:
    """What a handler catches: failures of one rank's surroundings, anything, or errors that all ranks share."""
    if kind is None:
        return "any"
    parts = kind.parts if isinstance(kind, Compound) else (kind,)
    values = [evaluate(frame, part) for part in parts]
    names = [value.target.name for value in values if value.target is not None]
    if any(name in frame.context.catalog.failures for name in names):
        return "local"
    return "any" if any(name.rpartition(".")[2] in _BROAD for name in names) else "ours"


_BROAD: Final = ("Exception", "BaseException", "RuntimeError")


def _always_leaves(block: Block) -> bool:
    """Does a handler pass the exception on, or end the process?"""
    match block[-1] if block else None:
        case Exit(kind="raise"):
            return True
        case Evaluate(value=Call(function=function)):
            return (plain(function) or "") in ("sys.exit", "os._exit", "exit", "quit", "os.abort")
        case _:
            return False


def _first_failure(term: Term) -> tuple[int, Cause] | None:
    """Where in a term something may fail first, and why."""
    for index, item in enumerate(term):
        match item:
            case Fails(cause=cause):
                return index, cause
            case Choice(then=then, orelse=orelse):
                inner = _first_failure(then) or _first_failure(orelse)
                if inner is not None:
                    return index, inner[1]
            case Repeat(body=body):
                inner = _first_failure(body)
                if inner is not None:
                    return index, inner[1]
    return None


def _without_raises(term: Term, handler: Term) -> Term:
    """The body of a `try`, where what it raises itself is caught by its handler."""
    found: list[Item] = []
    for item in continued(term) if size(term) < _MOST_CAUGHT else term:
        match item:
            case Choice(guard=guard, then=then, orelse=orelse):
                found.append(Choice(guard, _without_raises(then, handler), _without_raises(orelse, handler)))
            case Leave(kind="raise"):
                found.extend(handler)
            case _:
                found.append(item)
    return tuple(found)


_MOST_CAUGHT: Final = 60
