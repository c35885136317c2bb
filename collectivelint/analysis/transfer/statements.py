"""Statements: how they change the variables, and the term they add."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    Try,
    With,
)
from ...program.target import Target
from ..calls.meetings import meet_in_both
from ..calls.seeds import SEED
from ..calls.wrapped_models import is_unmade, modes_of, without_wrapping
from ..domain.ends import has_others
from ..domain.joining import equal
from ..domain.multiples import settle
from ..domain.normalise import summarise, tidy
from ..domain.recognise import launched
from ..domain.symbol import WORLD, Symbol, global_name
from ..domain.value import NONE, UNKNOWN, Value
from ..effects import Guard, Leave, Term, events, matters
from ..summary.facts import FunctionFacts
from ..summary.refused import refused
from .annotated import annotated_target
from .asserts import asserted
from .binding import bind
from .changes import lasts
from .conditions import Written, atoms, decide, joined
from .exceptions import always_leaves, attempt
from .expressions import evaluate
from .generators import generated
from .group_names import is_other_type
from .guards import guard_of
from .hooks import note_setting, run_registered
from .loops import loop
from .managers import managed
from .own_sources import given
from .parameters import declared_result, parameter_value
from .raised import classes_of
from .results import returned
from .retries import is_retry, settled_retries
from .scopes import Arm, Deciding, Discarding, Under, Unused
from .state import Context, Frame
from .wrappers import decorated, decorators, run_by_some

if TYPE_CHECKING:
    from collections.abc import Mapping


def interpret(context: Context, function: Function, closure: Mapping[str, Value]) -> FunctionFacts:
    """Interpret a function once; everything the rules and its callers need to know of it."""
    facts = FunctionFacts(function)
    frame = Frame(context, function, facts, {}, closure, function.span)
    for position, parameter in enumerate(function.params):
        value = parameter_value(frame, parameter, first=position == 0)
        frame.variables[parameter.name] = value if position == 0 else given(frame, parameter, value)
    for decorator in function.decorators:
        frame.modes |= modes_of(frame, decorator)
    around = decorators(frame)
    frame.is_partial = run_by_some(frame, around)
    _block(frame, function.body)
    facts.returns = generated(frame) or declared_result(frame, facts.returns or facts.alone)
    term = decorated(frame, around, tuple(frame.out))
    if frame.retries:
        term = settled_retries(term)
    if matters(term):
        facts.term = tidy(term)
        facts.summary = summarise(facts.term)
    facts.refused = refused(function, term, facts.attributes)
    facts.events = tuple(events(facts.summary))
    facts.seed = frame.variables.get(SEED)
    if function.qualname == "<module>" or context.explaining:
        facts.variables = frame.variables
        facts.names = frozenset(name for name in frame.variables if "." not in name)
    facts.settle()
    return facts


def _block(frame: Frame, block: Block) -> None:
    known, left, asked = len(frame.conditions), len(frame.left), len(frame.asked)
    _statements(frame, block)
    del frame.conditions[known:]
    del frame.left[left:]
    del frame.asked[asked:]


def _statements(frame: Frame, block: Block) -> None:
    for statement in block:  # by `isinstance`: see `ir.traversal`
        frame.statement = statement.span
        if isinstance(statement, Assign):
            _assign(frame, statement)
        elif isinstance(statement, Evaluate):
            run_registered(frame, statement.value)
            with Unused(frame, statement.value):
                evaluate(frame, statement.value)
        elif isinstance(statement, Branch):
            _branch(frame, statement)
        elif isinstance(statement, Exit):
            _exit(frame, statement)
            return
        elif isinstance(statement, Loop):
            loop(frame, statement, _block)
        elif isinstance(statement, Try):
            attempt(frame, statement, _block)
        elif isinstance(statement, With):
            managed(frame, statement, _block)
        elif isinstance(statement, Assert):
            asserted(frame, statement)
        elif isinstance(statement, Define):
            _define(frame, statement.name, statement.qualname)


def _define(frame: Frame, name: str, qualname: str) -> None:
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
    frame.variables[name] = Value(global_name(frame.path, qualname)).referring(target=target_)
    for decorator in known[qualname].decorators if qualname in known else ():
        _register(frame, decorator, Name(name))


def _register(frame: Frame, decorator: Expr, function: Expr) -> None:
    """Run the registration of a decorator such as `@atexit.register`."""
    target = None if isinstance(decorator, Call) else _quietly(frame, decorator).reference.target
    api = None if target is None else frame.context.catalog.apis.get(target.name)
    if api is not None and api.category == "registration":
        evaluate(frame, Call(decorator, (function,), (), False, frame.statement))


def _assign(frame: Frame, statement: Assign) -> None:
    value = evaluate(frame, statement.value)
    if statement.annotation is not None and value.reference.meaning == "group" and value.reference.kind is None:
        # Only its name has said that it is one.
        value = value.referring(meaning=None) if is_other_type(frame, statement.annotation) else value
    if statement.annotation is not None and value.reference.instance is None and value.reference.meaning is None:
        annotated = annotated_target(frame, statement.annotation)
        if annotated is not None and annotated.kind == "class":
            value = value.referring(instance=annotated)
    for target in statement.targets:
        if isinstance(target, Attribute) and target.name in frame.context.catalog.settings:
            note_setting(frame, target, value)
        if not isinstance(target, (Name, Attribute)):
            evaluate(frame, target)
        if (
            value.constant is UNKNOWN
            and value.reference.target is None
            and isinstance(target, Name)
            and not _stable(value)
        ):
            variable = frame.fresh(target.id, statement.span)
            frame.elements[variable] = value.symbol
            bind(frame, target, value.but(symbol=variable, was=value.symbol))
        else:
            bind(frame, target, value)


def _stable(value: Value) -> bool:
    """Whether the symbol still means the same value later on. Ranks, parameters and groups do; other texts may not."""
    return bool(
        value.uniformity.varies or value.reference.meaning or value.reference.instance or value.uniformity.depends
    ) or value.symbol.kind in ("launched", "world_size")


def _exit(frame: Frame, statement: Exit) -> None:
    again = bool(frame.guards) and is_retry(frame, statement)
    with frame.collecting() as items:
        value = evaluate(frame, statement.value) if statement.value is not None else NONE
    if not again:
        frame.extend(items)
    if statement.kind == "return":
        returned(frame, value, statement.span)
    if statement.kind == "raise":
        frame.emit(Leave("raise", again=again, span=statement.span, raised=classes_of(frame, statement.value)))
    else:
        frame.emit(Leave(statement.kind, again=again))
    frame.retries += again


def _branch(frame: Frame, statement: Branch) -> None:
    decided = decide(frame, atoms(statement.test), statement)
    before = frame.variables
    arms: list[tuple[dict[str, Value], Term]] = []
    guard = guard_of(frame, decided.value, statement.test_span)
    _fall_through(frame, statement, guard)
    launch, others = launched(decided.value.symbol), has_others(decided.value.symbol)
    worlds = _world_in(frame, statement.test)
    destroyed_before, destroyed = frame.group_destroyed, {}
    met: list[int] = []
    for holds, body in ((True, statement.then), (False, statement.orelse)):
        frame.group_destroyed = destroyed_before
        met.append(len(frame.facts.meetings))
        distributed = None if others is None else others is holds
        with (
            Arm(frame, before) as arm,
            Deciding(frame, worlds[holds], distributed=distributed),
            Under(frame, guard, decided.value),
        ):
            frame.conditions.append(decided.value.symbol if holds else decided.value.symbol.negate())
            settle(frame.variables, frame.conditions[-1])
            frame.variables.update(equal(frame.variables, frame.conditions[-1]))
            _block(frame, body)
            frame.conditions.pop()
        if _refuses(body) and {cause.kind for cause in guard.causes} == {"file system"}:
            arm.items[-1] = Leave("return", refused=True)
        arms.append((arm.variables, tuple(arm.items)))
        destroyed[holds] = frame.group_destroyed
    frame.group_destroyed = all(destroyed.values()) if launch is None else destroyed[launch]
    (then_variables, then), (else_variables, orelse) = arms
    if is_unmade(decided.value.symbol):
        then = without_wrapping(then, frame.context.catalog)
    leaves = [bool(arm) and isinstance(arm[-1], Leave) for arm in (then, orelse)]
    if not any(leaves):
        meet_in_both(frame, *met)
    if leaves[0] is not leaves[1]:
        frame.conditions.append(decided.value.symbol.negate() if leaves[0] else decided.value.symbol)
        last = (then if leaves[0] else orelse)[-1]
        if guard.varies and isinstance(last, Leave) and last.kind != "raise" and lasts(decided.value):
            frame.left.append((guard, decided.value))
    # An exception ends the job: those that come further are all ranks of one that goes on.
    left = [arm[-1] for arm, leaving in zip((then, orelse), leaves, strict=True) if leaving]
    is_left = any(isinstance(last, Leave) and last.kind != "raise" for last in left)
    frame.is_partial |= is_left and any(cause.kind == "rank" for cause in guard.causes)
    frame.extend(decided.effects)
    frame.extend(decided.term(then, orelse, Written(statement.test_span, statement.subject)))
    frame.variables = joined(
        frame, before, [(then_variables, then), (else_variables, orelse)], decided.value, statement.span
    )


def _refuses(body: Block) -> bool:
    """`if os.path.isfile(folder): log.error(...); return`: a refusal of the request, equivalent to an exception."""
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
    ranks = [any(cause.kind == "rank" for cause in part.uniformity.causes) for part in parts]
    last: Block = statement.orelse
    chained = False
    while len(last) == 1 and isinstance(last[0], Branch):
        if any(cause.kind == "rank" for cause in _quietly(frame, last[0].test).uniformity.causes):
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
