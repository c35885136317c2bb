"""Calls: what the catalogue knows of the callee, or what its summary says."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..events import Call, Constant, Expr
from ..program import Target
from .effects import CallSite, Choice, Event, Guard, inline
from .facts import ApiCall, GroupInReach
from .names import bind, environment, plain
from .values import WORLD, Value, flow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..catalog import Api
    from ..events import Function, Span
    from .frame import Frame

#: Builtins whose result differs between ranks exactly as their arguments do.
_PURE: Final = frozenset(
    f"builtins.{name}"
    for name in [
        "abs",
        "bool",
        "float",
        "int",
        "len",
        "list",
        "max",
        "min",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "any",
        "all",
    ]
)
#: The type of what `super()` gives: its methods are those of the base, not overrides.
SUPER: Final = "super"
#: More overrides than this, and a method name says too little to follow it.
_MOST_TARGETS: Final = 8

_PARAMETER: Final = re.compile(r"\$(\w+)")


def apply(frame: Frame, expr: Call, callee: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
    """The result of a call whose parts have been evaluated, and its effect on the frame."""
    target = callee.target
    if target is not None and target.name == "builtins.super" and not args:
        return _super(frame)
    if target is not None and target.kind == "external":
        api = frame.context.catalog.apis.get(target.name)
        if api is not None:
            return _known(frame, expr, api, callee, args, keywords)
        if target.name in frame.context.catalog.readers and args:
            return environment(frame, args[0], f"{callee.form}({args[0].form})", expr.span)
    if target is not None and target.kind == "class":
        made = Value(frame.fresh(target.name, expr.span), instance=target)
        constructor = frame.context.program.method(target, "__init__")
        if constructor is not None:
            invoke(frame, [constructor], replace(made, receiver=made), expr, args, keywords)
        return made
    if target is not None and target.kind == "function":
        targets = [target]
        if callee.receiver is not None and callee.receiver.instance is not None and callee.receiver.type != SUPER:
            name = target.name.rpartition(".")[2]
            targets = frame.context.program.methods(callee.receiver.instance, name) or targets
        return invoke(frame, targets[:_MOST_TARGETS], callee, expr, args, keywords)
    return _unknown(callee, [*args, *keywords.values()])


def _super(frame: Frame) -> Value:
    """`super()`: this object, seen as one of the base class."""
    function = frame.function
    if function.owner is None or not function.params:
        return Value("super()")
    program = frame.context.program
    bases = list(program.bases(Target("class", function.path, function.owner)))[1:]
    return Value(f"${function.params[0].name}", instance=bases[0], type=SUPER) if bases else Value("super()")


def _unknown(callee: Value, values: list[Value]) -> Value:
    """Something outside the program and the catalogue: data flows through, ranks only through what is pure."""
    form = f"{callee.form}({', '.join(value.form for value in values)})"
    if callee.target is not None and callee.target.name in _PURE:
        found = flow(form, values)
        if len(values) == 1 and callee.target.name == "builtins.int":
            return replace(found, form=values[0].form, type=values[0].type, one=values[0].one)
        if len(values) == 1 and callee.target.name == "builtins.bool":
            return replace(found, form=values[0].form, one=values[0].one)
        return found
    if callee.receiver is not None:
        # A method of a value: `flag.item()` varies as `flag` does.
        return replace(flow(form, (callee, *values), ranks=False), varies=callee.varies, causes=callee.causes)
    return flow(form, values, ranks=False)


# ------------------------------------------------------------------------------------------------- the catalogue


def _known(frame: Frame, expr: Call, api: Api, callee: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
    """A call of an API of the catalogue."""
    params = api.params
    exprs: dict[str, Expr] = {}
    values: dict[str, Value] = {}
    if params[:1] == ("self",) and callee.receiver is not None:
        # A method called on an instance; a function may have a parameter of that name as well.
        params = params[1:]
        values["self"] = callee.receiver
    if not expr.spread:
        exprs |= dict(zip(params, expr.args, strict=False)) | dict(expr.keywords)
        values |= dict(zip(params, args, strict=False)) | keywords
    role = api.roles.get("group")
    group = values.get(role) if role else None
    key = WORLD if group is None else group.group_key
    if role and not expr.spread:
        reach = _in_reach(frame) if api.category in ("collective", "point_to_point") else ()
        qualname = frame.function.qualname
        bound = {} if qualname == "<module>" else frame.variables
        around = frame.closure if "<locals>" in qualname else {}
        names = frozenset(name for name in (*bound, *around) if "." not in name)
        _note(frame, ApiCall(api, expr, frame.statement, frame.function, group, exprs.get(role), reach, names))
    elif api.category == "group_constructor":
        _note(frame, ApiCall(api, expr, frame.statement, frame.function, None, None))
    if api.category == "collective" and not expr.spread:
        partial = group is not None and group.partial
        event = Event(api.op, key, partial, frame.path, frame.function.qualname, expr.span, frame.statement)
        frame.out.append(event)
    if api.kind == "init":
        where = (frame.path, frame.function.qualname, expr.span, frame.statement)
        frame.out.append(Event(api.op, WORLD, False, *where, init=True))
    for name, kind in [
        *((n, "received") for n in (*api.uniform, *api.receives)),
        *((n, "restored") for n in api.restores),
    ]:
        if name in exprs:
            buffer = Value(frame.fresh(name, expr.span), origins=(frame.cause(kind, expr.span),))
            if name not in api.uniform:
                buffer = replace(buffer, varies=values[name].varies, causes=values[name].causes)
            bind(frame, exprs[name], buffer)
    return _result(frame, expr, api, key, values)


def _note(frame: Frame, call: ApiCall) -> None:
    """Keep a call for the rules, once: the middle of `a < f() < b` is looked at twice."""
    if not any(known.span == call.span for known in frame.facts.calls):
        frame.facts.calls.append(call)


def _result(frame: Frame, expr: Call, api: Api, key: str, values: Mapping[str, Value]) -> Value:
    form = f"{api.op}({', '.join(f'{name}={value.form}' for name, value in values.items())})"
    if "return" in api.uniform or "return" in api.receives:
        return Value(frame.fresh(api.op, expr.span), origins=(frame.cause("received", expr.span),))
    if "return" in api.restores:
        return Value(frame.fresh(api.op, expr.span), origins=(frame.cause("restored", expr.span),))
    match api.category:
        case "rank_source":
            axis = api.axis or WORLD if key == WORLD else key
            return Value(f"{api.op}({axis})", frozenset({axis}), (frame.cause("rank", expr.span),), type="rank")
        case "group_constructor":
            ranks = values.get(api.params[0]) if api.params[:1] == ("ranks",) else None
            partial = ranks is not None and ranks.constant is not None
            meaning = frame.context.catalog.classes.get(api.returns or "")
            # Every call makes another group, also in a loop: the place names them all.
            return Value(frame.fresh(api.op, expr.span), type=api.returns, meaning=meaning, partial=partial)
        case "group_accessor":
            meaning = frame.context.catalog.classes.get(api.returns or "")
            return Value(form, type=api.returns, meaning=meaning)
        case _:
            return Value(form)


def _in_reach(frame: Frame) -> tuple[GroupInReach, ...]:
    """The groups and meshes that have a name where the frame stands."""
    found: dict[str, GroupInReach] = {}

    def consider(text: str, value: Value, origin: str) -> None:
        if value.constant is None or value.form == WORLD:
            return
        if value.meaning == "group":
            found.setdefault(text, GroupInReach(text, origin))
        elif value.meaning == "mesh":
            found.setdefault(f"{text}.get_group()", GroupInReach(f"{text}.get_group()", origin))

    params = {parameter.name for parameter in frame.function.params}
    for name, value in frame.variables.items():
        # Annotations made for attributes of attributes are not names a fix may rely on.
        if name.count(".") <= 1:
            origin = "parameter" if name in params else "attribute" if "." in name else "local variable"
            consider(name, value, origin)
    owner = frame.function.owner
    if owner is not None and frame.function.params:
        own = frame.function.params[0].name
        instance = frame.variables.get(own)
        if instance is not None and instance.instance is not None:
            for name in frame.context.attributes(instance.instance):
                value_ = frame.context.attribute(instance.instance, name)
                if value_ is not None:
                    consider(f"{own}.{name}", value_, "attribute")
    return tuple(found.values())


# --------------------------------------------------------------------------------------- functions of the program


def invoke(
    frame: Frame, targets: Sequence[Target], callee: Value, expr: Call, args: list[Value], keywords: dict[str, Value]
) -> Value:
    """Run the summaries of what the call may run: all overrides of a method, as a choice nobody can decide."""
    results: list[Value] = []
    for number, target in enumerate(targets):
        facts = frame.context.facts(target)
        if facts is None:
            continue
        arguments = _arguments(facts.function, callee, expr, args, keywords)
        rename = _renamer(arguments)
        site = CallSite(frame.path, frame.function.qualname, expr.span, frame.statement, facts.function.qualname)
        term = inline(facts.summary, site, arguments, rename)
        if term and len(targets) > 1:
            form = frame.fresh(f"override {number} of {target.name.rpartition('.')[2]}", expr.span)
            guard = _undecidable(frame, form, expr.span)
            frame.out.append(Choice(guard, term, ()))
        else:
            frame.out.extend(term)
        if facts.returns is not None:
            results.append(_returned(facts.returns, arguments, rename))
    form = f"{callee.form}({', '.join(value.form for value in (*args, *keywords.values()))})"
    if len(results) == 1:
        return replace(results[0], receiver=None)
    return flow(form, results)


def _undecidable(frame: Frame, form: str, span: Span) -> Guard:
    """The guard of a choice that nothing in the source decides."""
    return Guard(form, frozenset(), (), frozenset(), None, frame.path, span, frame.statement, own=False)


def _arguments(
    function: Function, callee: Value, expr: Call, args: list[Value], keywords: dict[str, Value]
) -> dict[str, Value]:
    """Parameter name -> argument, the receiver and constant defaults included."""
    names = [parameter.name for parameter in function.params if parameter.kind in ("positional", "keyword")]
    positional = [parameter.name for parameter in function.params if parameter.kind == "positional"]
    found: dict[str, Value] = {}
    if function.owner is not None and callee.receiver is not None and positional and not _is_static(function):
        found[positional.pop(0)] = callee.receiver
    if expr.spread:
        return found
    found |= dict(zip(positional, args, strict=False))
    found |= {name: value for name, value in keywords.items() if name in names}
    for parameter in function.params:
        if parameter.name not in found and isinstance(parameter.default, Constant):
            value = parameter.default.value
            found[parameter.name] = Value(repr(value), constant=value)
    return found


def _is_static(function: Function) -> bool:
    return any(plain(decorator) == "staticmethod" for decorator in function.decorators)


def _renamer(arguments: Mapping[str, Value]) -> Callable[[str], str]:
    def rename(form: str) -> str:
        return _PARAMETER.sub(lambda match: _form_of(arguments, match), form)

    return rename


def _form_of(arguments: Mapping[str, Value], match: re.Match[str]) -> str:
    argument = arguments.get(match.group(1))
    # A parameter that got no argument we know of is no parameter of the caller: mark it as foreign.
    return argument.form if argument is not None else f"?{match.group(1)}"


def _returned(value: Value, arguments: Mapping[str, Value], rename: Callable[[str], str]) -> Value:
    """The callee's return value as the caller sees it."""
    if value.form.startswith("$") and value.form[1:] in arguments:
        return arguments[value.form[1:]]
    given = [arguments[name] for name in value.depends if name in arguments]
    flowed = flow(rename(value.form), (replace(value, depends=frozenset()), *given))
    return replace(
        flowed,
        constant=value.constant,
        one=value.one,
        instance=value.instance,
        type=value.type,
        meaning=value.meaning,
        partial=value.partial,
        optional=value.optional,
        parts=tuple(_returned(part, arguments, rename) for part in value.parts),
    )
