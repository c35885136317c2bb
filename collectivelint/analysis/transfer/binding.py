"""Names: assignment targets, naming conventions, and environment variables that hold ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Compound, Constant, Expr, Name, Subscript
from ..domain import symbol as symbols
from ..domain.flowing import flow
from ..domain.recognise import launched
from ..domain.symbol import WORLD, Symbol, compare, constant, operation, rank_in, subscript
from ..domain.value import UNKNOWN, Value
from .changes import counted_on, self_name, set_attribute, set_entry, set_on

if TYPE_CHECKING:
    from ...ir.nodes import Span
    from .state import Frame

#: The type of a condition that holds on one rank; calling it, where it is a method, changes nothing.
GUARD: Final = "guard"


def guarding(frame: Frame, axis: Symbol, span: Span, *, one: bool | None, other: str | None = None) -> Value:
    """A condition that holds on exactly one rank, or with `one` False on all but one.

    That is rank 0 unless `other` names another one.
    """
    rank = rank_in(axis)
    rank = rank if other is None else operation("from", (rank, symbols.name(other)))
    condition = compare("==", rank, constant(0))
    return (
        Value(condition if one else condition.negate())
        .varying(varies=frozenset({axis}), causes=(frame.cause("rank", span),), one=one)
        .referring(kind=GUARD)
    )


def conventional(frame: Frame, meaning: str, named: str | None, symbol: Symbol, where: Expr) -> Value:
    """A value whose meaning is taken from its name: a rank, a guard or a group."""
    span = frame.function.span if not isinstance(where, Call) else where.span
    axis = axis_of(named)
    if meaning == "rank":
        return (
            Value(symbol).varying(varies=frozenset({axis}), causes=(frame.cause("rank", span),)).referring(kind="rank")
        )
    if meaning == "guard":
        return guarding(frame, axis, span, one=True)
    return Value(symbol).referring(meaning="group")


def axis_of(named: str | None) -> Symbol:
    """The axis of this name; without one, that of the default group."""
    return WORLD if named is None else symbols.name(named)


def environment(frame: Frame, key: Value, symbol: Symbol, span: Span) -> Value:
    """The value of an environment variable: a rank, or the number of all ranks, where the catalogue says so."""
    if key.constant in frame.context.catalog.sizes:
        return Value(operation("world_size", (WORLD,))).sized(size_of=WORLD)
    axis = frame.context.catalog.environment.get(key.constant) if isinstance(key.constant, str) else None
    if axis is None:
        return Value(symbol)
    return (
        Value(symbol)
        .varying(varies=frozenset({axis_of(axis)}), causes=(frame.cause("rank", span),))
        .referring(kind="rank")
    )


def bind(frame: Frame, target: Expr, value: Value) -> None:
    """Assign to a target: a variable, an attribute, each part of a tuple, or the elements of a variable one by one."""
    if value.constant is UNKNOWN and frame.alone_here and (named := _last_name(target)) is not None:
        frame.facts.rank_bound.add(named)
    match target:
        case Name(id=name):
            frame.variables[name] = counted_on(frame, value)
        case Attribute(value=owner, name=name):
            path = plain(target)
            if path is not None:
                frame.variables[path] = value
            if isinstance(owner, Name) and owner.id == self_name(frame):
                set_attribute(frame, name, value)
            elif isinstance(owner, Name):
                set_on(frame, owner.id, name)
        case Compound(parts=parts):
            elements = value.reference.parts if len(value.reference.parts) >= len(parts) else ()
            for position, part in enumerate(parts):
                element = elements[position] if elements else None
                if element is None:
                    element = flow(subscript(value.symbol, constant(position)), (value,))
                bind(frame, part, element)
        case Subscript(value=owner, index=index):
            set_entry(frame, target, value)
            if isinstance(owner, Name) and not isinstance(index, Constant) and value.origin.sharded is None:
                gathered(frame, owner.id, is_from_all=any(cause.kind == "received" for cause in value.origin.origins))
        case _:
            pass


def gathered(frame: Frame, name: str, *, is_from_all: bool) -> None:
    """Replace the elements of a variable, `state[key] = state[key].full_tensor()`, which gets a new value by it.

    `is_from_all`: the new elements are known to be gathered from all ranks.
    """
    known = frame.variables.get(name)
    if known is None:
        return
    if known.origin.sharded is not None:
        frame.variables[name] = known.but(symbol=frame.fresh(name, frame.statement), was=None).sourced(sharded=None)
    elif is_from_all and known.given_as == name and name not in frame.facts.gathered and _is_always(frame):
        frame.facts.gathered = (*frame.facts.gathered, name)


def _is_always(frame: Frame) -> bool:
    """Whether the only conditions here are on the launch of the job and on the variables of enclosing loops."""
    return all(
        launched(condition) or any(part.kind == "place" and part.head[0] == "each" for part in condition.walk())
        for condition in frame.conditions
    )


def _last_name(target: Expr) -> str | None:
    """The name of a target that is a variable or an attribute, or of the container if it is an element."""
    match target:
        case Name(id=name) | Attribute(name=name):
            return name
        case Subscript(value=value):
            return _last_name(value)
        case _:
            return None
