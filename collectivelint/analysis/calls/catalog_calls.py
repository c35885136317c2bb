"""Calls of what the catalogue knows: the event they are, the value they have, and what is kept of them for the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ...catalog.operations import GLOBAL_ROOTS
from ...ir.nodes import Attribute, Call
from ..domain import symbol as symbols
from ..domain.causes import Sharded
from ..domain.flowing import flow
from ..domain.recognise import may_be_one_rank
from ..domain.symbol import WORLD, Symbol
from ..domain.value import UNKNOWN, Value
from ..effects import Event
from ..summary.model import ApiCall, Registration
from ..transfer.binding import axis_of, bind, guarding
from .averages import reduced
from .groups_in_reach import in_reach
from .meetings import meet
from .meshes import dims_of
from .seeds import drawn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...catalog.model import Api
    from ...ir.nodes import Expr, Span
    from ..summary.model import GroupInReach
    from ..transfer.state import Frame


def known(frame: Frame, expr: Call, api: Api, callee: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
    """A call of an API of the catalogue."""
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
    if group is None and api.axis is not None and api.category in ("collective", "implicit"):
        # It runs on the group of this dimension of the parallelism.
        key = axis_of(api.axis)
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
        bind(frame, exprs[api.shards], sharded)
        return sharded
    if api.wraps:
        classes = [api.wraps.get(value.reference.kind or "", value.reference.kind) for value in args]
        meanings = frame.context.catalog.classes
        wrapped = [
            value.referring(kind=name, meaning=meanings.get(name or "", value.reference.meaning))
            for value, name in zip(args, classes, strict=True)
        ]
        return (
            wrapped[0] if len(wrapped) == 1 else Value(frame.fresh(api.op, expr.span)).referring(parts=tuple(wrapped))
        )
    return _result(frame, expr, api, key, values)


def iterated(frame: Frame, container: Expr, value: Value, span: Span) -> None:
    """A loop begins to run over something: of some objects every rank has to."""
    api = (
        frame.context.catalog.apis.get(f"{value.reference.kind}.__iter__") if value.reference.kind is not None else None
    )
    if api is not None:
        call = Call(Attribute(container, "__iter__"), (), (), False, span)
        known(frame, call, api, Value(value.symbol).referring(receiver=value), [], {})


def _mesh(api: Api, values: Mapping[str, Value]) -> Symbol:
    """The group of what runs on a mesh: one that is named, or that of this tensor or of this model's parameters."""
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
    """The event that a call of an API is, if it is one."""
    kind = _EVENTS.get(api.category)
    if api.operation == "init":
        kind = "init"
    if api.operation in ("init", "destroy"):
        frame.group_destroyed = api.operation == "destroy" and group is None
    if kind is None or frame.group_destroyed or (expr.spread and kind in ("collective", "create")):
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
    partial = group is not None and may_be_one_rank(group)
    data = frozenset().union(*(value.flows_from for value in values.values()))
    where = (frame.path, frame.function.qualname, expr.span, frame.statement)
    if kind in ("create", "init"):
        key = WORLD
    name = api.name if api.only_with else ""
    frame.emit(
        Event(api.op, key, partial, *where, kind=kind, why=api.why, operation=api.operation, data=data, api=name)
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
    """Keep a call for the rules, once: the middle of `a < f() < b`, and the body of a loop, are looked at twice."""
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


def _result(frame: Frame, expr: Call, api: Api, key: Symbol, values: Mapping[str, Value]) -> Value:
    symbol = symbols.operation(api.op, [value.symbol for value in values.values()], values)
    if "return" in api.uniform or "return" in api.receives:
        return Value(frame.fresh(api.op, expr.span)).sourced(origins=(frame.cause("received", expr.span),))
    if "return" in api.restores:
        return Value(frame.fresh(api.op, expr.span)).sourced(origins=(frame.cause("restored", expr.span),))
    match api.category:
        case "rank_source" if api.translates is not None:
            axis = axis_of(api.axis) if api.axis else key
            return _translated(symbol, axis, key, values.get(api.translates))
        case "rank_source":
            axis = axis_of(api.axis) if key is WORLD else key
            own = symbols.rank_in(axis) if api.operation == "rank" else symbols.operation(api.op, (axis,))
            return (
                Value(own)
                .varying(varies=frozenset({axis}), causes=(frame.cause("rank", expr.span),))
                .referring(kind="rank")
            )
        case "guard":
            return guarding(frame, axis_of(api.axis), expr.span, one=api.one, other=api.kind)
        case "local_source":
            if api.kind == "own":
                # Another text on each rank, which is true on all of them.
                return Value(frame.fresh(api.op, expr.span)).sourced(ranked=True)
            if api.cause == "random" and (number := drawn(frame, api.name, expr.span)) is not None:
                return number
            cause = frame.cause(api.cause or "process", expr.span)
            steady = cause.kind in ("file system", "process")
            fresh = symbol if steady else frame.fresh(api.op, expr.span)
            uneven = (cause,) if cause.kind == "file system" else ()
            return Value(fresh).varying(varies=frozenset({WORLD}), causes=(cause,)).sized(uneven=uneven)
        case "uniform_source" if api.operation == "world_size":
            return Value(symbols.make("world_size", symbol.head, symbol.args)).sized(size_of=key)
        case "uniform_source" if api.operation == "launched":
            return Value(symbols.make("launched", symbol.head, symbol.args))
        case "group_constructor":
            ranks = values.get(api.params[0]) if api.params[:1] == ("ranks",) else None
            partial = ranks is not None and ranks.constant is not None
            meaning = frame.context.catalog.classes.get(api.returns or "")
            everyone = api.params[:1] == ("ranks",) and not partial
            parts = ranks.reference.parts if ranks is not None else ()
            # Every call makes another group, also in a loop: the place names them all.
            made = frame.fresh(api.op, expr.span)
            dims = dims_of(values) if meaning == "mesh" else None
            return Value(made).referring(
                kind=api.returns, meaning=meaning, partial=partial, everyone=everyone, parts=parts, dims=dims
            )
        case "group_accessor":
            meaning = frame.context.catalog.classes.get(api.returns or "")
            found = key if "self" in values or "mesh_dim" in values else symbol
            return Value(axis_of(api.axis) if api.axis else found).referring(kind=api.returns, meaning=meaning)
        case _ if api.returns is not None and " " in api.returns:
            classes = enumerate(api.returns.split())
            return Value(symbol).referring(
                parts=tuple(
                    Value(symbols.subscript(symbol, symbols.constant(index))).referring(kind=name)
                    for index, name in classes
                )
            )
        case _:
            return Value(symbol).referring(kind=api.returns)


def _translated(symbol: Symbol, axis: Symbol, key: Symbol, rank: Value | None) -> Value:
    """A rank under another number: the result differs between ranks as `rank` does, whatever the group `key`."""
    if rank is None:
        return Value(symbol)
    found = flow(symbol, (rank,))
    if rank.reference.kind != "rank":
        # What a parameter is, is known where the function is called.
        return found.referring(kind="rank") if rank.symbol.root is not None else found
    if rank.symbol in (symbols.rank_in(WORLD), symbols.rank_in(key)):
        # A rank's own number in the job is its own number in the group, and the other way round.
        return found.but(symbol=symbols.rank_in(axis)).varying(varies=frozenset({axis})).referring(kind="rank")
    return found.referring(kind="rank")


def note_roots(frame: Frame, values: list[Value]) -> None:
    """Note which parameters of this function are given to a collective as its root."""
    found = [value.given_as for value in values if value.given_as is not None]
    frame.facts.roots = tuple(dict.fromkeys((*frame.facts.roots, *found)))
