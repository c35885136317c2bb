"""Conditions whose outcome is written in them: constants have taken the places of parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .symbol import Symbol

#: The types whose constants are kept as they are.
_PLAIN: Final = frozenset({"int", "float", "bool", "str", "bytes", "NoneType"})


def settled(symbol: Symbol) -> bool | None:
    """Whether the condition holds, whatever the things in it are that are no constants; None where they matter."""
    if symbol.kind == "constant":
        return bool(symbol.head[1]) if symbol.head[0] in _PLAIN else None
    if symbol.kind == "not":
        found = settled(symbol.args[0])
        return None if found is None else not found
    if symbol.kind == "and" or symbol.kind == "or":
        decisive = symbol.kind == "or"
        outcomes = [settled(operand) for operand in symbol.args]
        if decisive in outcomes:
            return decisive
        return None if None in outcomes else not decisive
    return _compared(symbol) if symbol.kind == "compare" else None


def _compared(symbol: Symbol) -> bool | None:
    left, right = symbol.args
    if any(side.kind != "constant" or side.head[0] not in _PLAIN for side in (left, right)):
        return None
    if symbol.head[0] == "is":
        return left is right
    return left.head[1] == right.head[1] if symbol.head[0] == "==" else None
