"""Statements: how they change the variables, and the term they add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import (
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
    Span,
    Try,
    With,
)
from ...program.target import Target
from ..calls.catalog_calls import iterated
from ..calls.program_calls import invoke
from ..domain.normalise import summarise, tidy
from ..domain.recognise import launched
from ..domain.symbol import WORLD, Symbol, attribute, global_name, make
from ..domain.value import NONE, UNKNOWN, Cause, Value, each, join
from ..effects import Event, Guard, Item, Leave, Repeat, Term, events, matters
from ..summary.model import FunctionFacts, Invariant
from .binding import bind
from .conditions import Written, atoms, decide, joined
from .exceptions import always_leaves, attempt, head
from .expressions import condition, evaluate, guard_of
from .group_names import is_other_type
from .parameters import annotated_target, declared_result, parameter_value
from .scopes import Arm, Deciding, Discarding, Turn, Under, Unused
from .state import Context, Frame
from .wrappers import around, decorated

if TYPE_CHECKING:
    from collections.abc import Mapping


def interpret(context: Context, function: Function, closure: Mapping[str, Value]) -> FunctionFacts:
    """Interpret a function once; everything the rules and its callers need to know of it."""
    facts = FunctionFacts(function)
    frame = Frame(context, function, facts, {}, closure, function.span, imports=dict(function.imports))
    for position, parameter in enumerate(function.params):
        frame.variables[parameter.name] = parameter_value(frame, parameter, first=position == 0)
    _block(frame, function.body)
    facts.returns = declared_result(frame, facts.returns or facts.alone)
    term = decorated(frame, tuple(frame.out))
    if matters(term):
        facts.term = tidy(term)
        facts.summary = summarise(facts.term)
    facts.events = tuple(events(facts.summary))
    if function.qualname == "<module>" or context.explaining:
        facts.variables = frame.variables
        facts.names = frozenset(name for name in frame.variables if "." not in name)
    return facts


def _block(frame: Frame, block: Block) -> None:
    for statement in block:
        frame.statement = statement.span
        match statement:
            case Evaluate(value=value):
                with Unused(frame, value):
                    evaluate(frame, value)
            case Assign():
                _assign(frame, statement)
            case Branch():
                _branch(frame, statement)
            case Loop():
                _loop(frame, statement)
            case Try():
                attempt(frame, statement, _block)
            case With():
                _with(frame, statement)
            case Exit():
                _exit(frame, statement)
                return
            case Assert(test=test, message=message, span=span):
                if message is not None:
                    with frame.collecting():
                        evaluate(frame, message)
                checked = evaluate(frame, test)
                origins = checked.origins or next((part.origins for part in checked.parts if part.origins), ())
                if origins and not _narrows(test):
                    frame.facts.invariants.append(Invariant(frame.function, span, origins))
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
                    frame.facts.closures[qualname] = frame.closure if in_class else frame.variables
                frame.variables[name] = Value(global_name(frame.path, qualname), target=target_)


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
    with frame.collecting() as items:
        _block(frame, statement.body)
        if not (items and isinstance(items[-1], (Event, Leave))):
            _leave_temporary(frame, statement, managers)
        for manager in reversed(managers):
            if manager.manager:
                items[:] = around(manager.manager, tuple(items))  # type: ignore[arg-type]  # a term
            elif not (items and isinstance(items[-1], Leave)):
                _half(frame, manager, ("__exit__", "__aexit__"), statement.span)
    frame.extend(items)


def _leave_temporary(frame: Frame, statement: With, managers: list[Value]) -> None:
    """A temporary folder is gone when the ranks that made it leave; it is noted unless they have met the others by then."""
    for manager, (expr, _) in zip(managers, statement.items, strict=True):
        causes = tuple(cause for cause in manager.causes if cause.kind == "rank")
        if manager.type in frame.context.catalog.temporary and causes and not frame.alone_here:
            frame.statement = statement.span
            frame.note("temporary", head(statement.span, "with"), causes, expr)


def _half(frame: Frame, manager: Value, names: tuple[str, ...], span: Span) -> Value | None:
    """Enter or leave a context manager of the program; None for any other."""
    if manager.instance is None:
        return None
    for name in names:
        targets = frame.context.program.methods(manager.instance, name)
        if targets:
            callee = Value(attribute(manager.symbol, name), target=targets[0], receiver=manager)
            return invoke(frame, targets, callee, Call(Name(name), (), (), False, head(span, "with")), [], {})
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
    if statement.annotation is not None and value.meaning == "group" and value.type is None:
        # Only its name has said that it is one.
        value = value.but(meaning=None) if is_other_type(frame, statement.annotation) else value
    if statement.annotation is not None and value.instance is None and value.meaning is None:
        annotated = annotated_target(frame, statement.annotation)
        if annotated is not None and annotated.kind == "class":
            value = value.but(instance=annotated)
    for target in statement.targets:
        if not isinstance(target, (Name, Attribute)):
            evaluate(frame, target)
        if value.constant is UNKNOWN and value.target is None and isinstance(target, Name) and not _stable(value):
            bind(frame, target, value.but(symbol=frame.fresh(target.id, statement.span), was=value.symbol))
        else:
            bind(frame, target, value)


def _stable(value: Value) -> bool:
    """Does the symbol still mean the same value later on? Ranks, parameters and groups do; other texts may not."""
    return bool(value.varies or value.meaning or value.instance or value.depends)


def _exit(frame: Frame, statement: Exit) -> None:
    value = evaluate(frame, statement.value) if statement.value is not None else NONE
    if statement.kind == "return":
        facts = frame.facts
        if frame.guards:
            facts.return_guard = frame.guards[-1][1]
        if frame.single_rank:
            facts.alone = facts.alone or value
        elif facts.returns is None:
            facts.returns = value
        else:
            fresh = frame.fresh("result", frame.function.span)
            facts.returns = _either(
                facts.returns, value, fresh, facts.return_guard, frame.cause("branch", statement.span)
            )
    frame.emit(Leave(statement.kind))


def _either(one: Value, other: Value, fresh: Symbol, guard: Value | None, where: Cause) -> Value:
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
    arms: list[tuple[dict[str, Value], Term]] = []
    guard = guard_of(frame, decided.value, statement.test_span)
    _fall_through(frame, statement, guard)
    launch = launched(decided.value.symbol)
    worlds = _world_in(frame, statement.test)
    destroyed_before, destroyed = frame.group_destroyed, {}
    for holds, body in ((True, statement.then), (False, statement.orelse)):
        frame.group_destroyed = destroyed_before
        distributed = None if launch is None else launch is holds
        with (
            Arm(frame, before) as arm,
            Deciding(frame, worlds[holds], distributed=distributed),
            Under(frame, guard, decided.value),
        ):
            _block(frame, body)
        if _refuses(body) and {cause.kind for cause in guard.causes} == {"file system"}:
            arm.items[-1] = Leave("return", refused=True)
        arms.append((arm.variables, tuple(arm.items)))
        destroyed[holds] = frame.group_destroyed
    frame.group_destroyed = all(destroyed.values()) if launch is None else destroyed[launch]
    (then_variables, then), (else_variables, orelse) = arms
    leaves = [bool(arm) and isinstance(arm[-1], Leave) for arm in (then, orelse)]
    frame.is_partial |= any(leaves) and any(cause.kind == "rank" for cause in guard.causes)
    frame.extend(decided.effects)
    frame.extend(decided.term(then, orelse, Written(statement.test_span, statement.subject)))
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
        if not always_leaves(statement.then) and found not in frame.facts.fallen:
            frame.facts.fallen.append(found)


def _quietly(frame: Frame, expr: Expr) -> Value:
    """The value of an expression that is evaluated elsewhere: without its effects."""
    with Discarding(frame):
        return evaluate(frame, expr)


def _world_in(frame: Frame, test: Expr) -> dict[bool, set[Symbol]]:
    """Which groups are the default group where a condition holds, and where it does not: `group is group.WORLD`."""
    found: dict[bool, set[Symbol]] = {True: set(), False: set()}
    if isinstance(test, Compare) and test.op in ("==", "is", "!=", "is not"):
        sides = {_quietly(frame, test.left).symbol, _quietly(frame, test.right).symbol}
        if WORLD in sides:
            found[test.op in ("==", "is")] = sides - {WORLD}
    return found


def _loop(frame: Frame, statement: Loop) -> None:
    """`for` and `while`: one turn is interpreted, a second one where the first has changed what varies."""
    entering = dict(frame.variables)
    for _ in range(_MOST_TURNS):
        before = dict(frame.variables)
        with frame.collecting() as turn:
            _turn(frame, statement)
        carried = _carried(before, frame.variables)
        frame.variables = joined(frame, before, [(frame.variables, ()), (before, ())], None, statement.span)
        if not carried:
            break
    frame.extend(turn)
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
    head: tuple[Item, ...] = ()
    if statement.target is None:
        # The condition is computed once more than the body runs; its collectives belong to every turn.
        with frame.collecting() as items:
            value, guard = condition(frame, statement.iterable, statement.head)
        head = tuple(items)
        symbol = make("loop", ("while",), (guard.symbol,))
        trips = guard if guard.varies or guard.depends else None
    else:
        value = evaluate(frame, statement.iterable)
        iterated(frame, statement.iterable, value, statement.span)
        symbol = make("loop", ("for",), (value.symbol,))
        unordered = value.unordered
        over = value.given_as
        trips = _trips(frame, statement, value)
        bind(frame, statement.target, each(value, frame.fresh("each", statement.span)))
    with frame.collecting() as items, Turn(frame, value.symbol):
        if trips is not None:
            with Under(frame, trips, value.but(varies=trips.varies, causes=trips.causes)):
                _block(frame, statement.body)
        else:
            _block(frame, statement.body)
    body = (*head, *items)
    if body:
        frame.emit(Repeat(symbol, body, trips, unordered, over))


def _trips(frame: Frame, statement: Loop, value: Value) -> Guard | None:
    """The number of turns as a condition, where it differs between ranks."""
    if not value.uneven:
        return None
    axes = value.varies or frozenset({WORLD})
    counted = Value(make("turns", (), (value.symbol,)), axes, value.uneven, depends=value.depends)
    return guard_of(frame, counted, statement.head)
