"""Conditions on what a function is passed, and whether the arguments of a call, or of a constructor, decide them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..domain.symbol import attribute, both, compare

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..domain.symbol import Symbol
    from ..transfer.state import Frame

#: So many conditions are kept.
_MOST: Final = 6


def asked_of(conditions: Iterable[Symbol]) -> tuple[Symbol, ...]:
    """The conditions on parameters that depend on no local value of the function."""
    found = (part for condition in conditions for part in literals(condition) if part.parameters and not part.has_place)
    return tuple(dict.fromkeys(found))[:_MOST]


def literals(condition: Symbol) -> Iterator[Symbol]:
    """The literals that all have to be true: `not (a or b)` gives `not a` and `not b`."""
    if condition.kind == "and":
        for part in condition.args:
            yield from literals(part)
    elif condition.kind == "not" and condition.args[0].kind == "or":
        for part in condition.args[0].args:
            yield from literals(part.negate())
    else:
        yield condition


def resolved(frame: Frame, symbol: Symbol) -> Symbol:
    """A condition with the attributes of objects made in this function replaced by what their constructors set."""
    match symbol.kind:
        case "not":
            return resolved(frame, symbol.args[0]).negate()
        case "and" | "or":
            return both(symbol.kind, [resolved(frame, part) for part in symbol.args])
        case "compare":
            left, right = (resolved(frame, part) for part in symbol.args)
            return compare(str(symbol.head[0]), left, right)
        case "attribute":
            return _attribute(frame, resolved(frame, symbol.args[0]), str(symbol.head[0]))
        case _:
            return symbol


def _attribute(frame: Frame, owner: Symbol, name: str) -> Symbol:
    made = frame.made.get(owner)
    if made is not None:
        constructor, arguments = made
        value = constructor.attributes.get(name)
        return attribute(owner, name) if value is None else value.symbol.substitute(arguments)
    own = frame.function.owner is not None and owner.parameter is not None
    value = frame.variables.get(f"{owner.parameter}.{name}") if own else None
    return attribute(owner, name) if value is None else value.symbol


def truth_of(symbol: Symbol) -> bool | None:
    """Whether a condition on constants is true; None if it is not on constants alone."""
    match symbol.kind:
        case "constant":
            return None if symbol.head[0] not in ("bool", "NoneType", "int", "str") else bool(symbol.head[1])
        case "not":
            inner = truth_of(symbol.args[0])
            return None if inner is None else not inner
        case "and" | "or":
            parts = [truth_of(part) for part in symbol.args]
            decides = symbol.kind == "or"
            if decides in parts:
                return decides
            return None if None in parts else not decides
        case "compare" if symbol.head[0] in ("is", "==") and all(part.kind == "constant" for part in symbol.args):
            return symbol.args[0] is symbol.args[1]
        case _:
            return None
