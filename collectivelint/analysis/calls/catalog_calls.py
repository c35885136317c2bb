"""Calls of catalogue APIs: the events they emit, the values they return, and what is recorded of them for the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ...catalog.operations import GLOBAL_ROOTS
from ...ir.nodes import Attribute, Call
from ..domain import symbol as symbols
from ..domain.causes import Sharded
from ..domain.recognise import may_be_one_rank
from ..domain.symbol import WORLD, Symbol
from ..domain.value import UNKNOWN, Value
from ..domain.wrapped import Wrapped
from ..effects import Event
from ..summary.model import ApiCall, Registration
from ..transfer.binding import axis_of, bind
from .averages import reduced
from .catalog_results import result_of
from .groups_in_reach import in_reach
from .meetings import meet
from .row_conditions import is_none_here, named_axis
from .wrapped_models import sureness, wrapped_with

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...catalog.model import Api
    from ...ir.nodes import Expr, Span
    from ..summary.model import GroupInReach
    from ..transfer.state import Frame


def known(frame: Frame, expr: Call, api: Api, callee: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
    """Interpret a call of a catalogue API and return its result."""
    params = api.params
    exprs: dict[str, Expr] = {}
    values: dict[str, Value] = {}
    owner = api.name.rpartition(".")[0]
    if params[:1] == ("self",) and (callee.reference.receiver is not None or owner in frame.context.catalog.objects):
        # A method called on an instance; a function may have a parameter of that name as well.
        params = params[1:]
        if callee.reference.receiver is not None:
            values["self"] = callee.reference.receiver
    if not expr.spread:
        exprs |= dict(zip(params, expr.args, strict=False)) | dict(expr.keywords)
        values |= dict(zip(params, args, strict=False)) | keywords
    role = api.roles.get("group")
    group = values.get(role) if role else None
    if group is not None and group.symbol in frame.worlds:
        group = group.but(symbol=WORLD).referring(everyone=True)
    key = WORLD if group is None else group.group_key
    axis = named_axis(api, values)
    if group is None and axis is not None and api.category in ("collective", "implicit"):
        # It runs on the group of this dimension of the parallelism.
        key = axis_of(axis)
    if api.kind == "mesh" and group is None:
        key = _mesh(api, values)
    if "mesh_dim" in values and "mesh_dim" in api.params:
        # `mesh.get_group("tp")` is the group of `mesh["tp"]`.
        key = symbols.subscript(key, values["mesh_dim"].symbol)
    _note(frame, expr, api, group, exprs, values)
    note_roots(frame, [values[name] for role in GLOBAL_ROOTS if (name := api.roles.get(role)) in values])
    _effect(frame, expr, api, key, group, values)
    for name, kind in [
        *((n, "received") for n in (*api.uniform, *api.receives)),
        *((n, "restored") for n in api.restores),
    ]:
        if name in exprs:
            known = values[name]
            if kind == "received" and name in api.uniform and (given := known.symbol.parameter) is not None:
                frame.facts.uniform = (*frame.facts.uniform, given)
            buffer = (
                Value(frame.fresh(name, expr.span))
                .sourced(origins=(frame.cause(kind, expr.span),))
                .sized(size_of=known.extent.size_of)
            )
            if name in api.uniform:
                buffer = reduced(frame, expr, api, values, name, buffer.sourced(shared=True))
            else:
                buffer = buffer.varying(varies=known.uniformity.varies, causes=known.uniformity.causes)
            bind(frame, exprs[name], buffer)
    if api.shards is not None and api.shards in exprs:
        sharded = values[api.shards].sourced(sharded=Sharded("framework", frame.cause("data", expr.span)))
        if api.wrapped is not None:
            sharded = sharded.referring(wrapped=Wrapped(api.wrapped, _mesh(api, values)))
        bind(frame, exprs[api.shards], sharded)
        return sharded
    if api.wraps or api.wrapped is not None:
        classes = [api.wraps.get(value.reference.kind or "", value.reference.kind) for value in args]
        meanings = frame.context.catalog.classes
        wrapped = [
            value.referring(kind=name, meaning=meanings.get(name or "", value.reference.meaning))
            for value, name in zip(args, classes, strict=True)
        ]
        wrapped = wrapped_with(api, wrapped)
        return (
            wrapped[0] if len(wrapped) == 1 else Value(frame.fresh(api.op, expr.span)).referring(parts=tuple(wrapped))
        )
    return result_of(frame, expr, api, key, values)


def iterated(frame: Frame, container: Expr, value: Value, span: Span) -> None:
    """Run the `__iter__` of a container when a loop begins: for some catalogue classes it is a collective."""
    api = (
        frame.context.catalog.apis.get(f"{value.reference.kind}.__iter__") if value.reference.kind is not None else None
    )
    if api is not None:
        call = Call(Attribute(container, "__iter__"), (), (), False, span)
        known(frame, call, api, Value(value.symbol).referring(receiver=value), [], {})


def _mesh(api: Api, values: Mapping[str, Value]) -> Symbol:
    """The group of a call on a mesh: the `device_mesh` argument, or the mesh of the tensor or model it is called on."""
    named = values.get("device_mesh")
    if named is not None and named.constant is UNKNOWN:
        return named.symbol
    owner = values.get("self") or values.get(api.params[0])
    return WORLD if owner is None else symbols.make("mesh", (), (owner.symbol,))


#: What every rank has to call, with the kind of its event.
_EVENTS: Final[Mapping[str, Literal["collective", "implicit", "create", "init"]]] = {
    "collective": "collective",
    "implicit": "implicit",
    "group_constructor": "create",
}


def _effect(frame: Frame, expr: Call, api: Api, key: Symbol, group: Value | None, values: Mapping[str, Value]) -> None:
    """Emit the event of a call of a catalogue API, if it is a collective or makes a group."""
    kind = _EVENTS.get(api.category)
    if api.operation == "init":
        kind = "init"
    if api.operation in ("init", "destroy"):
        frame.group_destroyed = api.operation == "destroy" and group is None
    if kind is None or frame.group_destroyed or (expr.spread and kind in ("collective", "create")):
        return
    if api.silent_in & frame.modes or is_none_here(api, values):
        return
    local = values.get("use_local_synchronization")
    if kind == "create" and local is not None and local.constant is not False:
        # Only the members of the new group have to call then.
        return
    partial = group is not None and may_be_one_rank(group)
    data = frozenset().union(*(value.flows_from for value in values.values()))
    where = (frame.path, frame.function.qualname, expr.span, frame.statement)
    if kind in ("create", "init"):
        key = WORLD
    name = api.name if api.only_with else ""
    sure = sureness(api, frame.modes)
    frame.emit(
        Event(
            api.op,
            key,
            partial,
            *where,
            kind=kind,
            why=api.why,
            operation=api.operation,
            data=data,
            api=name,
            confidence=sure,
        )
    )
    if kind == "init":
        return
    waits = values.get("async_op")
    if waits is None or waits.constant is False:
        meet(frame, key)
    else:
        frame.awaited.append(key)


def _note(
    frame: Frame,
    expr: Call,
    api: Api,
    group: Value | None,
    exprs: Mapping[str, Expr],
    values: Mapping[str, Value],
) -> None:
    """Record a call for the rules, once: the middle of `a < f() < b`, and the body of a loop, are evaluated twice."""
    if api.category == "registration":
        _register(frame, expr, api, values)
    role = api.roles.get("group")
    grouped = role is not None and not expr.spread
    of_checkpoints = api.saves is not None or bool(api.restores)
    if not (grouped or of_checkpoints or api.category in ("group_constructor", "lifecycle", "function")):
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
        alone=frame.alone_here,
        conditions=tuple(frame.conditions),
    )
    frame.facts.calls_at[call.span] = call


def _register(frame: Frame, expr: Call, api: Api, values: Mapping[str, Value]) -> None:
    callback = values.get(api.callback or "")
    if callback is not None and callback.reference.target is not None and callback.reference.target.kind == "function":
        some_ranks = frame.is_partial or bool(frame.guards)
        target = callback.reference.target
        found = Registration(frame.function, expr.span, frame.statement, api.kind or "", target, some_ranks)
        if found not in frame.facts.registrations:
            frame.facts.registrations.append(found)
        if target not in frame.facts.handed:
            frame.facts.handed.append(target)


def note_roots(frame: Frame, values: list[Value]) -> None:
    """Note which parameters of this function are passed to a collective as its root."""
    found = [value.given_as for value in values if value.given_as is not None]
    frame.facts.roots = tuple(dict.fromkeys((*frame.facts.roots, *found)))
