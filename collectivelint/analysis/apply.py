"""Calls: what the catalogue knows of the callee, or what its summary says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

from ..events import Attribute, Call, Constant, Expr, Name
from ..program import Target
from .declared import declared, declared_collective
from .effects import CallSite, Choice, Deferred, Event, Guard, Inlining, inline
from .facts import ApiCall, GroupInReach, HelperCall, Registration
from .names import GUARD, bind, environment, guarding, plain
from .paths import note_use, tolerates
from .values import UNKNOWN, WORLD, Length, Value, each, flow, holding, of_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..catalog import Api
    from ..events import Function
    from .effects import Term
    from .facts import FunctionFacts
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
        "frozenset",
        "enumerate",
        "zip",
        "reversed",
        "range",
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
    if callee.type == GUARD:
        return callee
    annotation = frame.context.annotation(target) if target is not None else None
    if annotation is not None and annotation.kind == "collective":
        return declared_collective(frame, expr, annotation)
    note_use(frame, expr, callee, args, keywords)
    found = _applied(frame, expr, callee, args, keywords)
    return found if annotation is None else declared(frame, found, annotation, expr.span)


def _applied(frame: Frame, expr: Call, callee: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
    """The value of a call that nobody has declared anything about."""
    target = callee.target
    if isinstance(expr.function, Name) and (target is None or target.kind == "external"):
        named = frame.context.catalog.convention(expr.function.id, "guard")
        if named is not None and (target is None or target.name not in frame.context.catalog.apis):
            return guarding(frame, named.axis or WORLD, expr.span, one=True)
    if target is not None and target.name == "builtins.super" and not args:
        return _super(frame)
    if callee.runs:
        site = CallSite(
            frame.path, frame.function.qualname, expr.span, frame.statement, plain(expr.function) or "lambda"
        )
        frame.out.extend(inline(callee.runs, Inlining(site, {}, str, lambda _: ())))  # type: ignore[arg-type]  # a term
        return Value(frame.fresh("result", expr.span))
    if target is not None and target.kind == "external":
        if target.name in frame.context.catalog.fallible and not tolerates(keywords):
            frame.fails(frame.cause("exception", expr.span))
        if target.name in frame.context.catalog.callers and expr.args:
            inner = Call(expr.args[0], expr.args[1:], expr.keywords, expr.spread, expr.span)
            return apply(frame, inner, args[0], args[1:], keywords)
        if target.name in frame.context.catalog.wrappers and args:
            return args[0].but(target=None, receiver=None)
        if target.name == "functools.partial" and args and _is_own(args[0]):
            return args[0]
        api = frame.context.catalog.apis.get(target.name)
        if api is not None:
            return _known(frame, expr, api, callee, args, keywords)
        if target.name in frame.context.catalog.classes:
            return Value(frame.fresh(target.name, expr.span), type=target.name)
        if target.name in frame.context.catalog.readers and args:
            return environment(frame, args[0], f"{callee.form}({args[0].form})", expr.span)
    if target is None and isinstance(expr.function, Attribute) and callee.receiver is not None:
        # Methods of names that only one kind of object has.
        api = frame.context.catalog.apis.get(f"methods.{expr.function.name}")
        if api is not None:
            return _known(frame, expr, api, callee, args, keywords)
    if target is not None and target.kind == "class":
        made = Value(frame.fresh(target.name, expr.span), instance=target)
        constructor = frame.context.program.method(target, "__init__")
        if constructor is not None:
            invoke(frame, [constructor], made.but(receiver=made), expr, args, keywords)
        return made
    if target is not None and target.kind == "function":
        targets = [target]
        if callee.receiver is not None and callee.receiver.instance is not None and callee.receiver.type != SUPER:
            name = target.name.rpartition(".")[2]
            targets = frame.context.program.methods(callee.receiver.instance, name) or targets
        return invoke(frame, _likely(targets), callee, expr, args, keywords)
    if callee.instance is not None and target is None and callee.receiver is None:
        called = _called(frame, callee.instance)
        if called:
            bound = callee.but(receiver=callee)
            return invoke(frame, _likely(called), bound, expr, args, keywords)
    if callee.form.startswith("$") and callee.form[1:] in callee.depends:
        frame.out.append(Deferred(callee.form[1:]))
    return _unknown(frame, expr, callee, [*args, *keywords.values()])


def _likely(targets: list[Target]) -> list[Target]:
    """The methods to follow: of too many only the class's own."""
    return targets if len(targets) <= _MOST_TARGETS else targets[:1]


def _is_own(value: Value) -> bool:
    """Is it a function of the program? What `partial` gives to others' functions would be lost."""
    return value.target is not None and value.target.kind == "function"


def _called(frame: Frame, instance: Target) -> list[Target]:
    """What calling an object runs: `__call__`, which in a module is `forward`."""
    program = frame.context.program
    return program.methods(instance, "__call__") or program.methods(instance, "forward")


def _super(frame: Frame) -> Value:
    """`super()`: this object, seen as one of the base class."""
    function = frame.function
    if function.owner is None or not function.params:
        return Value("super()")
    program = frame.context.program
    bases = list(program.bases(Target("class", function.path, function.owner)))[1:]
    return Value(f"${function.params[0].name}", instance=bases[0], type=SUPER) if bases else Value("super()")


def _unknown(frame: Frame, expr: Call, callee: Value, values: list[Value]) -> Value:
    """Something outside the program and the catalogue: data flows through, ranks only through what is pure."""
    form = f"{callee.form}({', '.join(value.form for value in values)})"
    if callee.target is not None and callee.target.name in _PURE:
        return _pure(frame, expr, callee.target.name.removeprefix("builtins."), form, values)
    if frame.context.explaining and callee.target is None:
        unresolved = (plain(expr.function) or "a computed function", expr.span)
        if unresolved not in frame.facts.unresolved:
            frame.facts.unresolved.append(unresolved)
    if callee.receiver is not None and isinstance(expr.function, Attribute):
        return _method(frame, expr, expr.function.name, form, callee, values)
    found = flow(form, values, ranks=False)
    if callee.target is not None and values:
        catalog = frame.context.catalog
        if callee.target.name in catalog.tensors:
            found = found.but(length=values[0].length)
        elif callee.target.name in catalog.buffers and not any(value.origins for value in values):
            found = found.but(length=Length("made", frame.cause("data", expr.span)))
    return found


def _pure(frame: Frame, expr: Call, name: str, form: str, values: list[Value]) -> Value:
    """A builtin whose result is computed from its arguments and nothing else."""
    found = flow(form, values)
    first = values[0] if values else Value(form)
    match name:
        case "int" | "bool" if len(values) == 1:
            kept = found.but(form=first.form, one=first.one, size_of=first.size_of)
            return kept.but(type=first.type) if name == "int" else kept
        case "len" if first.uneven:
            return found.but(varies=found.varies | {WORLD}, causes=(*first.uneven, *found.causes)[:3])
        case "len":
            return found.but(size_of=first.size_of)
        case "set" | "frozenset":
            return found.but(uneven=first.uneven, unordered=frame.cause("data", expr.span), item=first.item)
        case "sorted":
            return found.but(uneven=first.uneven, item=first.item)
        case "list" | "tuple" | "enumerate" | "zip" | "reversed":
            unordered = next((value.unordered for value in values if value.unordered), None)
            uneven = next((value.uneven for value in values if value.uneven), ())
            found = found.but(uneven=uneven, unordered=unordered, size_of=first.size_of)
            if name in ("enumerate", "zip"):
                numbered = [Value("number"), *values[:1]] if name == "enumerate" else values
                turn = tuple(
                    value if value.form == "number" else each(value, f"each({value.form})") for value in numbered
                )
                return (
                    found.but(item=Value(f"each({form})", parts=turn)) if any(part.instance for part in turn) else found
                )
            return found.but(parts=first.parts, item=first.item)
        case "range":
            # One bound that differs makes another number of turns; two may only shift them.
            bounds = [value for value in values[:2] if value.varies]
            step = len(values) > 2 and bool(values[2].varies)
            uneven = bounds[0].causes if len(bounds) == 1 or (bounds and step) else ()
            return found.but(uneven=uneven, size_of=first.size_of if len(values) == 1 else None)
        case _:
            return found


#: Methods of tensors and containers that say how many elements there are.
_SIZES: Final = frozenset({"numel", "nelement", "size", "__len__", "dim"})
_ADDING: Final = frozenset({"append", "extend", "add", "put", "appendleft"})
_SETS: Final = frozenset({"union", "difference", "intersection", "symmetric_difference", "copy"})


def _method(frame: Frame, expr: Call, name: str, form: str, callee: Value, values: list[Value]) -> Value:
    """A method of a value nothing is known about: `flag.item()` varies as `flag` does."""
    assert callee.receiver is not None
    receiver = callee.receiver
    varies, causes = callee.varies, callee.causes
    kind = frame.context.catalog.methods.get(name)
    if kind is not None:
        varies, causes = varies | {WORLD}, (frame.cause(kind, expr.span), *causes)[:3]
    if name in _SIZES:
        # The shards that ranks pick by their number are equally large, unless something says otherwise.
        varies, causes = frozenset(), ()
        callee = of_shape(callee)
    if name in _SIZES and receiver.uneven:
        varies, causes = varies | {WORLD}, (*receiver.uneven, *causes)[:3]
    if name in _ADDING and frame.guards and isinstance(expr.function, Attribute):
        # Filled on some ranks only.
        _, guard = frame.guards[-1]
        if isinstance(expr.function.value, Name) and not receiver.form.startswith("$"):
            bind(frame, expr.function.value, receiver.but(uneven=guard.causes))
    if name in ("append", "add") and isinstance(expr.function, Attribute) and (item := holding(values)) is not None:
        bind(frame, expr.function.value, receiver.but(item=receiver.item or item))
    found = flow(form, (callee, *values), ranks=False).but(varies=varies, causes=causes)
    if name == "values":
        found = found.but(item=receiver.item)
    elif name == "items" and receiver.item is not None:
        found = found.but(item=Value(f"each({form})", parts=(Value("key"), each(receiver, f"each({receiver.form})"))))
    kept = () if name in _SIZES or name in ("item", "sum", "mean", "any", "all", "max", "min") else receiver.uneven
    if receiver.length is not None and name not in _SIZES:
        found = found.but(length=receiver.length)
    found = found.but(uneven=kept, unordered=receiver.unordered if name in _SETS else None)
    if kind == "file system":
        found = found.but(uneven=(causes[0],))
    return found


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
    if group is not None and group.form in frame.worlds:
        group = group.but(form=WORLD, everyone=True)
    key = WORLD if group is None else group.group_key
    if api.kind == "mesh" and group is None:
        key = _mesh(api, values)
    if "mesh_dim" in values and "mesh_dim" in api.params:
        # `mesh.get_group("tp")` is the group of `mesh["tp"]`.
        key = f"{key}[{values['mesh_dim'].form}]"
    _note(frame, expr, api, group, exprs, values)
    _roots(frame, [values[name] for role in ("src", "dst") if (name := api.roles.get(role)) in values])
    _effect(frame, expr, api, key, group, values)
    for name, kind in [
        *((n, "received") for n in (*api.uniform, *api.receives)),
        *((n, "restored") for n in api.restores),
    ]:
        if name in exprs:
            known = values[name]
            buffer = Value(frame.fresh(name, expr.span), origins=(frame.cause(kind, expr.span),), size_of=known.size_of)
            if name in api.uniform:
                buffer = buffer.but(shared=True)
            else:
                buffer = buffer.but(varies=known.varies, causes=known.causes)
            bind(frame, exprs[name], buffer)
    return _result(frame, expr, api, key, values)


def _mesh(api: Api, values: Mapping[str, Value]) -> str:
    """The group of what runs on a mesh: one that is named, or that of this tensor or of this model's parameters."""
    named = values.get("device_mesh")
    if named is not None and named.constant is UNKNOWN:
        return named.form
    owner = values.get("self") or values.get(api.params[0])
    return WORLD if owner is None else f"the mesh of {owner.form}"


#: What every rank has to call, with the kind of its event.
_EVENTS: Final[Mapping[str, Literal["collective", "implicit", "create", "init"]]] = {
    "collective": "collective",
    "implicit": "implicit",
    "group_constructor": "create",
}


def _effect(frame: Frame, expr: Call, api: Api, key: str, group: Value | None, values: Mapping[str, Value]) -> None:
    """The event that a call of an API is, if it is one."""
    kind = _EVENTS.get(api.category)
    if api.kind == "init":
        kind = "init"
    if kind is None or (expr.spread and kind in ("collective", "create")):
        return
    if api.unless is not None:
        name, constant = api.unless
        given = values.get(name)
        if given is not None and given.constant is not UNKNOWN and given.constant == constant:
            return
    local = values.get("use_local_synchronization")
    if kind == "create" and local is not None and local.constant is not False:
        # Only the members of the new group have to call then.
        return
    partial = group is not None and group.partial
    where = (frame.path, frame.function.qualname, expr.span, frame.statement)
    frame.out.append(
        Event(api.op, WORLD if kind in ("create", "init") else key, partial, *where, kind=kind, why=api.why)
    )


def _note(
    frame: Frame,
    expr: Call,
    api: Api,
    group: Value | None,
    exprs: Mapping[str, Expr],
    values: Mapping[str, Value],
) -> None:
    """Keep a call for the rules, once: the middle of `a < f() < b`, and the body of a loop, are looked at twice."""
    if api.category == "registration":
        _register(frame, expr, api, values)
    role = api.roles.get("group")
    grouped = role is not None and not expr.spread
    if not grouped and api.category not in ("group_constructor", "lifecycle"):
        return
    names: frozenset[str] = frozenset()
    reach: tuple[GroupInReach, ...] = ()
    if api.category in ("collective", "point_to_point", "implicit"):
        reach = in_reach(frame)
        qualname = frame.function.qualname
        bound = {} if qualname == "<module>" else frame.variables
        around = frame.closure if "<locals>" in qualname else {}
        names = frozenset(name for name in (*bound, *around) if "." not in name)
    call = ApiCall(
        api,
        expr,
        frame.statement,
        frame.function,
        group,
        exprs.get(role) if role else None,
        reach,
        names,
        values,
        exprs,
        tuple(guard for guard, _ in frame.guards),
        tuple(frame.turns),
        used=frame.dropped is not expr,
        conditional=frame.branches > 0,
    )
    known = [index for index, other in enumerate(frame.facts.calls) if other.span == call.span]
    if known:
        frame.facts.calls[known[0]] = call
    else:
        frame.facts.calls.append(call)


def _register(frame: Frame, expr: Call, api: Api, values: Mapping[str, Value]) -> None:
    callback = values.get(api.callback or "")
    if callback is not None and callback.target is not None and callback.target.kind == "function":
        found = Registration(frame.function, expr.span, frame.statement, api.kind or "", callback.target)
        if found not in frame.facts.registrations:
            frame.facts.registrations.append(found)


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
        case "guard":
            return guarding(frame, api.axis or WORLD, expr.span, one=api.one, other=api.kind)
        case "local_source":
            cause = frame.cause(api.cause or "process", expr.span)
            steady = cause.kind in ("file system", "process")
            fresh = form if steady else frame.fresh(api.op, expr.span)
            uneven = (cause,) if cause.kind == "file system" else ()
            return Value(fresh, frozenset({WORLD}), (cause,), uneven=uneven)
        case "uniform_source" if api.op == "get_world_size":
            return Value(form, size_of=key)
        case "group_constructor":
            ranks = values.get(api.params[0]) if api.params[:1] == ("ranks",) else None
            partial = ranks is not None and ranks.constant is not None
            meaning = frame.context.catalog.classes.get(api.returns or "")
            everyone = api.params[:1] == ("ranks",) and not partial
            parts = ranks.parts if ranks is not None else ()
            # Every call makes another group, also in a loop: the place names them all.
            made = frame.fresh(api.op, expr.span)
            return Value(made, type=api.returns, meaning=meaning, partial=partial, everyone=everyone, parts=parts)
        case "group_accessor":
            meaning = frame.context.catalog.classes.get(api.returns or "")
            name = api.axis or (key if "self" in values or "mesh_dim" in values else form)
            return Value(name, type=api.returns, meaning=meaning)
        case _:
            return Value(form, type=api.returns)


def in_reach(frame: Frame) -> tuple[GroupInReach, ...]:
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

        def run(value: Value, site: CallSite = site) -> Term:
            return _passed(frame, value, site)

        term = inline(facts.summary, Inlining(site, arguments, rename, run))
        _note_helper(frame, expr, facts, arguments, args, keywords)
        if is_manager(facts.function):
            # Its body runs around that of the `with` statement.
            return Value(frame.fresh("manager", expr.span), manager=term)
        if facts.fallible is not None and len(targets) == 1:
            # Where in the callee it fails is not known; its collectives are given the benefit of the doubt.
            frame.out.extend(term)
            term = ()
            frame.fails(facts.fallible, own=False)
        if term and len(targets) > 1:
            form = frame.fresh(f"override {number} of {target.name.rpartition('.')[2]}", expr.span)
            guard = Guard(
                form,
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
            frame.out.append(Choice(guard, term, ()))
        else:
            frame.out.extend(term)
        if facts.returns is not None:
            results.append(_returned(facts.returns, arguments, rename))
    form = f"{callee.form}({', '.join(value.form for value in (*args, *keywords.values()))})"
    if len(results) == 1:
        return results[0].but(receiver=None)
    return flow(form, results)


def is_manager(function: Function) -> bool:
    """Is it a generator that `with` runs?"""
    return any((plain(item) or "").rpartition(".")[2] in _MANAGERS for item in function.decorators)


_MANAGERS: Final = ("contextmanager", "asynccontextmanager")


def _roots(frame: Frame, values: list[Value]) -> None:
    """Note which parameters of this function are given to a collective as its root."""
    found = [value.form[1:] for value in values if value.form[1:] in value.depends]
    frame.facts.roots = tuple(dict.fromkeys((*frame.facts.roots, *found)))


def _passed(frame: Frame, value: Value, site: CallSite) -> Term:
    """What calling a value that was passed as an argument does; the callee calls it with we do not know what."""
    if value.runs:
        return value.runs  # type: ignore[return-value]  # a term
    if value.form.startswith("$") and value.form[1:] in value.depends:
        return (Deferred(value.form[1:]),)
    target = value.target
    if target is None:
        return ()
    if target.kind == "external":
        api = frame.context.catalog.apis.get(target.name)
        if api is None or api.category not in ("collective", "implicit"):
            return ()
        where = (site.path, site.function, site.span, site.statement)
        kind: Literal["collective", "implicit"] = "implicit" if api.category == "implicit" else "collective"
        return (Event(api.op, WORLD, False, *where, kind=kind, why=api.why),)
    facts = frame.context.facts(target)
    if facts is None:
        return ()
    receiver = {facts.function.params[0].name: value.receiver} if value.receiver and facts.function.params else {}
    into = CallSite(site.path, site.function, site.span, site.statement, facts.function.qualname)
    return inline(facts.summary, Inlining(into, receiver, _renamer(receiver), lambda _: ()))


def _note_helper(
    frame: Frame,
    expr: Call,
    facts: FunctionFacts,
    arguments: Mapping[str, Value],
    args: list[Value],
    keywords: Mapping[str, Value],
) -> None:
    """Keep a call of a function that passes a group of its caller on to collectives."""
    groups = tuple(dict.fromkeys(event.group[1:] for event in facts.events if event.group.startswith("$")))
    groups = tuple(name for name in groups if any(parameter.name == name for parameter in facts.function.params))
    if not (groups or facts.roots) or expr.spread:
        return
    _roots(frame, [arguments[name] for name in facts.roots if name in arguments])
    positional = [parameter.name for parameter in facts.function.params if parameter.kind == "positional"]
    shift = 1 if facts.function.owner is not None and not _is_static(facts.function) else 0
    given = {name: arguments[name] for name in (*positional[shift : shift + len(args)], *keywords) if name in arguments}
    helper = HelperCall(
        frame.function, expr, frame.statement, facts.function, groups, facts.roots, given, in_reach(frame), facts.events
    )
    frame.facts.helpers = [other for other in frame.facts.helpers if other.span != helper.span] + [helper]


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
    flowed = flow(rename(value.form), (value.but(depends=frozenset()), *given))
    return flowed.but(
        constant=value.constant,
        one=value.one,
        instance=value.instance,
        type=value.type,
        meaning=value.meaning,
        partial=value.partial,
        optional=value.optional,
        parts=tuple(_returned(part, arguments, rename) for part in value.parts),
        uneven=value.uneven or next((item.uneven for item in given if item.uneven), ()),
        unordered=value.unordered,
        size_of=value.size_of,
        everyone=value.everyone,
    )
