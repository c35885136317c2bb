"""The results of calls of catalogue APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...program.target import Target
from ..domain import symbol as symbols
from ..domain.flowing import flow, is_of_day
from ..domain.symbol import WORLD, Symbol
from ..domain.value import Value
from ..transfer.binding import axis_of, guarding
from .meshes import dims_of
from .row_conditions import is_none_here, named_axis
from .seeds import drawn
from .wrapped_models import group_of, wrapper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...catalog.model import Api
    from ...ir.nodes import Call
    from ..transfer.state import Frame


def result_of(frame: Frame, expr: Call, api: Api, key: Symbol, values: Mapping[str, Value]) -> Value:
    """The result of a call of a catalogue API on the group `key`; `values` are the arguments by parameter name."""
    symbol = symbols.operation(api.op, [value.symbol for value in values.values()], values)
    if "return" in api.uniform or "return" in api.receives:
        return Value(frame.fresh(api.op, expr.span)).sourced(origins=(frame.cause("received", expr.span),))
    if "return" in api.restores:
        return Value(frame.fresh(api.op, expr.span)).sourced(origins=(frame.cause("restored", expr.span),))
    match api.category:
        case "rank_source" if api.translates is not None:
            name = named_axis(api, values)
            axis = axis_of(name) if name else key
            return _translated(symbol, axis, key, values.get(api.translates))
        case "rank_source":
            axis = axis_of(named_axis(api, values)) if key is WORLD else key
            own = symbols.rank_in(axis) if api.operation == "rank" else symbols.operation(api.op, (axis,))
            return (
                Value(own)
                .varying(varies=frozenset({axis}), causes=(frame.cause("rank", expr.span),))
                .referring(kind="rank")
            )
        case "guard":
            return guarding(frame, axis_of(named_axis(api, values)), expr.span, one=api.one, other=api.kind)
        case "decorator" if not any(map(_is_function, values.values())):
            # `@on_process(index=0)`: what it gives is the decorator, unless these arguments let all ranks in.
            everyone = is_none_here(api, values)
            return Value(symbol) if everyone else Value(symbol).referring(target=Target("external", "", api.name))
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
            found = Value(fresh).varying(varies=frozenset({WORLD}), causes=(cause,)).sized(uneven=uneven)
            is_stamp = cause.kind in ("clock", "random") and not any(map(is_of_day, values.values()))
            return found.sourced(stamps=(cause,)) if is_stamp else found
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
            own = key if ("self" in values or "mesh_dim" in values) and api.axis_by is None else symbol
            name = named_axis(api, values)
            return Value(axis_of(name) if name else own).referring(kind=api.returns, meaning=meaning)
        case _ if api.returns is not None and " " in api.returns:
            classes = enumerate(api.returns.split())
            catalog = frame.context.catalog
            return Value(symbol).referring(
                parts=tuple(
                    Value(symbols.subscript(symbol, symbols.constant(index))).referring(
                        kind=name, wrapped=wrapper(catalog, name, WORLD, values)
                    )
                    for index, name in classes
                )
            )
        case _:
            plain = Value(symbol).referring(kind=api.returns)
            model = wrapper(frame.context.catalog, api.returns, group_of(plain, values), values)
            return plain if model is None else plain.but(symbol=frame.fresh(api.op, expr.span)).referring(wrapped=model)


def _is_function(value: Value) -> bool:
    target = value.reference.target
    return bool(value.reference.runs) or (target is not None and target.kind == "function")


def _translated(symbol: Symbol, axis: Symbol, key: Symbol, rank: Value | None) -> Value:
    """A translated rank (group rank to global rank or back): it varies as `rank` does, whatever the group `key`."""
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
