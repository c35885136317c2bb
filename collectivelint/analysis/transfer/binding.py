"""Names: what a target binds, what a name alone suggests, which environment variables are ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Attribute, Call, Compound, Expr, Name
from ..domain.value import WORLD, Value, flow, join

if TYPE_CHECKING:
    from ...ir.nodes import Span
    from .state import Frame

#: What forms of attributes call the object they belong to, however a method names its first parameter.
SELF: Final = "self"


def plain(expr: Expr) -> str | None:
    """`a.b.c` as text for a plain chain of names, else None."""
    match expr:
        case Name(id=name):
            return name
        case Attribute(value=value, name=name):
            base = plain(value)
            return None if base is None else f"{base}.{name}"
        case _:
            return None


#: The type of a condition that holds on one rank; calling it, where it is a method, changes nothing.
GUARD: Final = "guard"


def guarding(frame: Frame, axis: str, span: Span, *, one: bool | None, other: str | None = None) -> Value:
    """A condition that holds on exactly one rank, or with `one` False on all but one.

    That is rank 0 unless `other` names another one.
    """
    rank = "get_node_local_rank(local)" if axis == "local" else f"get_rank({axis})"
    rank = f"{rank} from the {other}" if other is not None else rank
    form = f"{rank} == 0" if one else f"not {rank} == 0"
    return Value(form, frozenset({axis}), (frame.cause("rank", span),), one=one, type=GUARD)


def conventional(frame: Frame, meaning: str, axis: str | None, form: str, where: Expr) -> Value:
    """A value that is believed because of its name."""
    span = frame.function.span if not isinstance(where, Call) else where.span
    if meaning == "rank":
        return Value(form, frozenset({axis or WORLD}), (frame.cause("rank", span),), type="rank")
    if meaning == "guard":
        return guarding(frame, axis or WORLD, span, one=True)
    return Value(form, meaning="group")


def environment(frame: Frame, key: Value, form: str, span: Span) -> Value:
    """The value of an environment variable: a rank where the catalogue says so."""
    axis = frame.context.catalog.environment.get(key.constant) if isinstance(key.constant, str) else None
    if axis is None:
        return Value(form)
    return Value(form, frozenset({axis}), (frame.cause("rank", span),), type="rank")


def bind(frame: Frame, target: Expr, value: Value) -> None:
    """Assign to a target: a variable, an attribute, or each part of a tuple."""
    match target:
        case Name(id=name):
            frame.variables[name] = value
        case Attribute(value=owner, name=name):
            path = plain(target)
            if path is not None:
                frame.variables[path] = value
            if isinstance(owner, Name) and owner.id == _self_name(frame):
                known = frame.facts.attributes.get(name)
                form = f"${SELF}.{name}"
                if frame.guards and (known is not None or isinstance(value.constant, bool)):
                    # Set on some ranks only, or differently there.
                    guard, condition = frame.guards[-1]
                    before = known if known is not None else Value(f"{form} before")
                    merged = join(before, value, form, condition, frame.cause("branch", guard.span))
                else:
                    merged = value if known is None else join(known, value, form)
                frame.facts.attributes[name] = merged
        case Compound(parts=parts):
            elements = value.parts if len(value.parts) == len(parts) else ()
            for position, part in enumerate(parts):
                bind(frame, part, elements[position] if elements else flow(f"{value.form}[{position}]", (value,)))
        case _:
            pass


def _self_name(frame: Frame) -> str | None:
    function = frame.function
    return function.params[0].name if function.owner is not None and function.params else None
