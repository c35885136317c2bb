"""The possible elements of a container that the program writes out: `for split in ("dev", "test")`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .flowing import flow
from .symbol import Symbol, constant, make, name, subscript
from .value import UNKNOWN, Value

if TYPE_CHECKING:
    from collections.abc import Iterable

#: An element that may be anything.
ANYTHING: Final = Value(name("anything"))
#: More constants than this are no choice that a program makes by hand.
_MOST: Final = 16


def element_of(container: Value) -> Value | None:
    """The abstract element of a tuple or list: one of some constants, or a tuple of such parts; None if unknown."""
    known = container.reference.item
    return _merged([*container.reference.parts, *(() if known is None else (known,))])


def appended(container: Value, element: Value) -> Value:
    """The container with one more element, if it is known to have been empty or its elements are known."""
    known = container.reference.item
    if known is not None and is_known(known):
        return container
    if container.written.head != ("List",):
        return container
    found = _merged([element] if known is None else [known, element])
    return container.referring(item=found or ANYTHING)


def either(one: Value | None, other: Value | None) -> Value | None:
    """The join of two container elements; None is an empty container or an unknown element."""
    if one is None or other is None or one is other:
        return one or other
    if is_known(one) or is_known(other):
        return one if is_known(one) else other
    return _merged([one, other]) or ANYTHING


def is_known(value: Value) -> bool:
    """Whether it is an object of the program, or a wrapped model."""
    return value.reference.instance is not None or value.reference.wrapped is not None


def bound(element: Value, known: Value, position: tuple[object, ...]) -> Value:
    """The value that a loop at `position` binds in an iteration: `element`, narrowed by the possible values `known`."""
    constants = _constants(known)
    if constants is not None:
        symbol = constants[0] if len(constants) == 1 else make("turn", position, constants)
        return element.but(symbol=symbol, constant=known.constant)
    parts = [
        bound(flow(subscript(element.symbol, constant(index)), (element,)), part, (*position, index))
        for index, part in enumerate(known.reference.parts)
    ]
    return element.referring(parts=tuple(parts)) if parts else element


def _merged(values: Iterable[Value]) -> Value | None:
    found: Value | None = None
    for value in values:
        found = value if found is None else _pair(found, value)
        if not _says(found):
            return None
    return found


def _pair(one: Value, other: Value) -> Value:
    mine, its = _constants(one), _constants(other)
    if mine is not None and its is not None:
        constants = tuple(dict.fromkeys((*mine, *its)))
        if len(constants) == 1:
            return one
        return Value(make("turn", (), constants)) if len(constants) <= _MOST else ANYTHING
    parts, others = one.reference.parts, other.reference.parts
    if len(parts) != len(others):
        return ANYTHING
    return ANYTHING.referring(parts=tuple([_pair(left, right) for left, right in zip(parts, others, strict=True)]))


def _says(value: Value) -> bool:
    """Whether it is a constant, or has a part that is one."""
    return _constants(value) is not None or any(_says(part) for part in value.reference.parts)


def _constants(value: Value) -> tuple[Symbol, ...] | None:
    """The constants that it may be."""
    if value.symbol.kind == "turn":
        return value.symbol.args
    return (value.symbol,) if value.constant is not UNKNOWN and value.symbol.kind == "constant" else None
