"""Calls of functions of the program: their summaries become part of their callers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Constant, Name
from ..domain.flowing import flow
from ..domain.inlining import LONGEST_CHAIN, Inlining, inline, without_names
from ..domain.symbol import call, constant, make
from ..domain.value import Value
from ..effects import CallSite, Choice, Deferred, Event, Guard
from ..summary.model import HelperCall
from ..summary.recursion import acyclic
from ..transfer.agreements import decided
from ..transfer.binding import axis_of, bind, gathered
from ..transfer.changes import changed_by_call
from ..transfer.own_data import answered, asks_of_own
from .catalog_calls import note_roots
from .file_effects import note_whole, note_writing
from .groups_in_reach import in_reach
from .path_uses import note_paths
from .seeds import seed
from .wrapped_models import CALL, pass_event, passed_on, wrapper_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...ir.nodes import Expr, Function
    from ...program.target import Target
    from ..domain.symbol import Symbol
    from ..effects import Term
    from ..summary.facts import FunctionFacts
    from ..transfer.state import Frame


def invoke(
    frame: Frame, targets: Sequence[Target], callee: Value, expr: Call, args: list[Value], keywords: dict[str, Value]
) -> Value:
    """Apply the summaries of the functions a call may run; several overrides of a method become an undecided choice."""
    results: list[Value] = []
    if frame.context.explaining:
        bound = frozenset(name for name in frame.variables if "." not in name)
        frame.facts.reaching[expr.span] = (in_reach(frame), bound)
    for number, target in enumerate(targets):
        facts = frame.context.facts(target)
        if facts is None:
            continue
        arguments = arguments_of(facts.function, callee, expr, args, keywords)
        known = _symbols(arguments)
        if facts.attributes and facts.function.qualname.endswith(".__init__") and callee.reference.receiver is not None:
            frame.made[callee.reference.receiver.symbol] = (facts, known)
        if facts.attributes and frame.alone_here:
            frame.facts.rank_bound.update(facts.attributes)
        site = CallSite(frame.path, frame.function.qualname, expr.span, frame.statement, facts.function.qualname)

        def run(value: Value, item: Deferred, site: CallSite = site) -> Term:
            return _passed(frame, value, site, item)

        effect = () if frame.group_destroyed else _effect(frame, target, facts)
        asks = asks_of_own(frame.context.catalog, arguments)
        term = inline(effect, Inlining(site, arguments, known, run, facts.function.span, frame.elements, asks))
        _note_helper(frame, expr, facts, arguments, args, keywords)
        note_writing(frame, expr, facts, arguments)
        note_whole(frame, expr, facts, arguments)
        note_paths(frame, expr, facts, known, arguments)
        _share(frame, expr, facts, arguments)
        _gather(frame, expr, facts, arguments)
        changed_by_call(frame, expr, facts, arguments)
        if facts.changed is not None:
            frame.note("in place", expr.span, (facts.changed,), *expr.args, callee=facts.function.qualname)
        if is_manager(facts.function):
            # Its body runs around that of the `with` statement.
            return Value(frame.fresh("manager", expr.span)).referring(manager=term)
        if facts.fallible is not None and len(targets) == 1:
            # Where in the callee it fails is not known; its collectives are given the benefit of the doubt.
            frame.extend(term)
            term = ()
            frame.fails(facts.fallible, own=False)
        if term and len(targets) > 1:
            method = target.name.rpartition(".")[2]
            symbol = make("override", (number, method, *frame.position(expr.span)))
            guard = Guard(
                symbol,
                frozenset(),
                (),
                frozenset(),
                None,
                frame.path,
                expr.span,
                frame.statement,
                own=False,
                ways=len(targets),
            )
            frame.emit(Choice(guard, term, ()))
        else:
            frame.extend(term)
        if facts.seed is not None:
            seed(frame, (_returned(facts.function, facts.seed, arguments, known),), expr.span)
        if facts.returns is not None:
            found = answered(frame, asks, facts, arguments, _returned(facts.function, facts.returns, arguments, known))
            results.append(decided(frame, expr, facts.returns, found, arguments))
    symbol = call(callee.symbol, [value.symbol for value in (*args, *keywords.values())])
    if len(results) == 1:
        return results[0].referring(receiver=None)
    return flow(symbol, results)


def _effect(frame: Frame, target: Target, facts: FunctionFacts) -> Term:
    """The effect term of a callee; in a recursion, without the collectives reached through the current function."""
    if not facts.summary or not frame.context.is_recursive(target):
        return facts.summary
    return acyclic(facts.summary, frame.path, frame.function.qualname)


def _share(frame: Frame, expr: Call, facts: FunctionFacts, arguments: Mapping[str, Value]) -> None:
    """After the call, the arguments that the callee has broadcast or reduced are the same on all ranks."""
    for name in facts.uniform:
        value = arguments.get(name)
        given = [
            arg for arg in (*expr.args, *(word for _, word in expr.keywords)) if isinstance(arg, (Name, Attribute))
        ]
        for arg in given if value is not None else ():
            if evaluate_name(frame, arg) is value:
                shared = Value(frame.fresh(name, expr.span)).sourced(
                    origins=(frame.cause("received", expr.span),), shared=True
                )
                bind(frame, arg, shared)
                if value is not None and (given_as := value.symbol.parameter) is not None:
                    frame.facts.uniform = (*frame.facts.uniform, given_as)


def _gather(frame: Frame, expr: Call, facts: FunctionFacts, arguments: Mapping[str, Value]) -> None:
    """After the call, the arguments whose elements the callee has gathered are no longer sharded."""
    given = [arg for arg in (*expr.args, *(word for _, word in expr.keywords)) if isinstance(arg, Name)]
    for value in [arguments[name] for name in facts.gathered if name in arguments]:
        for arg in given:
            if evaluate_name(frame, arg) is value:
                gathered(frame, arg.id, is_from_all=True)


def evaluate_name(frame: Frame, expr: Expr) -> Value | None:
    """The current value of a plain name, if it is assigned in this function."""
    return frame.variables.get(plain(expr) or "")


def is_manager(function: Function) -> bool:
    """Whether the function is a generator used as a context manager."""
    return any((plain(item) or "").rpartition(".")[2] in _MANAGERS for item in function.decorators)


_MANAGERS: Final = ("contextmanager", "asynccontextmanager")


def _passed(frame: Frame, value: Value, site: CallSite, item: Deferred) -> Term:
    """The term of a callee's call of its function argument `value`, whose arguments are unknown here."""
    wrapped = wrapper_of(frame, value)
    modes, chain = item.modes | frame.modes, (site, *item.chain)
    if wrapped is not None and wrapped.given is None:
        event = pass_event(frame.context.catalog, wrapped, item.method or CALL, item.site, chain, modes)
        if event is not None:
            return (event,)
    if value.given_as is not None:
        return (Deferred(value.given_as, item.site, item.method, modes, chain),) if len(chain) < LONGEST_CHAIN else ()
    if item.method:
        return ()
    if value.reference.runs:
        return value.reference.runs  # type: ignore[return-value]  # a term
    target = value.reference.target
    if target is None:
        return ()
    if target.kind == "external":
        api = frame.context.catalog.apis.get(target.name)
        if api is None or api.category not in ("collective", "implicit"):
            return ()
        where = (site.path, site.function, site.span, site.statement)
        kind: Literal["collective", "implicit"] = "implicit" if api.category == "implicit" else "collective"
        only = api.name if api.only_with else ""
        key = axis_of(api.axis)
        return (Event(api.op, key, False, *where, kind=kind, why=api.why, operation=api.operation, api=only),)
    facts = frame.context.facts(target)
    if facts is None:
        return ()
    receiver = (
        {facts.function.params[0].name: value.reference.receiver}
        if value.reference.receiver and facts.function.params
        else {}
    )
    into = CallSite(site.path, site.function, site.span, site.statement, facts.function.qualname)
    effect = _effect(frame, target, facts)
    return inline(effect, Inlining(into, receiver, _symbols(receiver), lambda *_: (), facts.function.span))


def _note_helper(
    frame: Frame,
    expr: Call,
    facts: FunctionFacts,
    arguments: Mapping[str, Value],
    args: list[Value],
    keywords: Mapping[str, Value],
) -> None:
    """Record a call of a function that passes a group or a root of its caller on to collectives."""
    own = {parameter.name for parameter in facts.function.params}
    named = dict.fromkeys(event.group.parameter for event in facts.events)
    groups = tuple(name for name in named if name is not None and name in own)
    if not (groups or facts.roots) or expr.spread:
        return
    note_roots(frame, [arguments[name] for name in facts.roots if name in arguments])
    positional = [parameter.name for parameter in facts.function.params if parameter.kind == "positional"]
    shift = 1 if facts.function.owner is not None and not _is_static(facts.function) else 0
    given = {name: arguments[name] for name in (*positional[shift : shift + len(args)], *keywords) if name in arguments}
    helper = HelperCall(
        frame.function, expr, frame.statement, facts.function, groups, facts.roots, given, in_reach(frame), facts.events
    )
    frame.facts.helpers = [other for other in frame.facts.helpers if other.span != helper.span] + [helper]


def arguments_of(
    function: Function, callee: Value, expr: Call, args: list[Value], keywords: dict[str, Value]
) -> dict[str, Value]:
    """Parameter name -> argument, the receiver and constant defaults included."""
    names = [parameter.name for parameter in function.params if parameter.kind in ("positional", "keyword")]
    positional = [parameter.name for parameter in function.params if parameter.kind == "positional"]
    found: dict[str, Value] = {}
    if function.owner is not None and callee.reference.receiver is not None and positional and not _is_static(function):
        found[positional.pop(0)] = callee.reference.receiver
    if expr.spread:
        return found
    found |= dict(zip(positional, args, strict=False))
    found |= {name: value for name, value in keywords.items() if name in names}
    for parameter in function.params:
        if parameter.name not in found and isinstance(parameter.default, Constant):
            value = parameter.default.value
            found[parameter.name] = Value(constant(value), constant=value)
    return found


def _is_static(function: Function) -> bool:
    return any(plain(decorator) == "staticmethod" for decorator in function.decorators)


def _symbols(arguments: Mapping[str, Value]) -> dict[str, Symbol]:
    """The symbol of the argument for each parameter."""
    return {name: value.symbol for name, value in arguments.items()}


def _returned(function: Function, value: Value, arguments: Mapping[str, Value], known: Mapping[str, Symbol]) -> Value:
    """The callee's return value as the caller sees it."""
    passed = (
        [arguments[name] for name in value.uniformity.depends if name in arguments] if value.uniformity.varies else []
    )
    if (
        passed
        and not any(item.uniformity.varies for item in passed)
        and not without_names(value.uniformity.causes, function.span)
    ):
        # A rank only by the name of the parameter; what was passed is none.
        value = value.varying(varies=frozenset(), causes=(), one=None).referring(kind=None)
        value = value.sized(uneven=without_names(value.extent.uneven, function.span))
    argument = arguments.get(value.symbol.parameter or "")
    if argument is not None:
        if value.reference.wrapped is not None:
            argument = argument.referring(wrapped=value.reference.wrapped)
        return argument if value.origin.sharded is None else argument.sourced(sharded=value.origin.sharded)
    if value.origin.passed is not None:
        value = value.sourced(passed=passed_on(value.origin.passed, arguments))
    given = [arguments[name] for name in value.uniformity.depends if name in arguments]
    flowed = flow(value.symbol.substitute(known), (value.varying(depends=frozenset()), *given))
    where = value.uniformity.equal_where
    if where is not None and not any(item.uniformity.varies for item in given):
        flowed = flowed.varying(equal_where=where.substitute(known))
    return (
        flowed.but(constant=value.constant)
        .varying(one=value.uniformity.one, absent=value.uniformity.absent)
        .referring(
            instance=value.reference.instance,
            kind=value.reference.kind,
            meaning=value.reference.meaning,
            partial=value.reference.partial,
            optional=value.reference.optional,
            parts=tuple(_returned(function, part, arguments, known) for part in value.reference.parts),
            everyone=value.reference.everyone,
            dims=value.reference.dims,
            wrapped=value.reference.wrapped,
        )
        .sized(
            uneven=value.extent.uneven or next((item.extent.uneven for item in given if item.extent.uneven), ()),
            unordered=value.extent.unordered,
            size_of=_group_passed(value.extent.size_of, arguments, known),
        )
    )


def _group_passed(group: Symbol | None, arguments: Mapping[str, Value], known: Mapping[str, Symbol]) -> Symbol | None:
    """The caller's group for a group of the callee; None as an argument means the default group."""
    if group is None:
        return None
    argument = arguments.get(group.parameter or "")
    return argument.group_key if argument is not None else group.substitute(known)
