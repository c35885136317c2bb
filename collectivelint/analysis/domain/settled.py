"""Conditions decided by constants that replaced their parameters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .symbol import Symbol

#: The types whose constants are kept as they are.
_PLAIN: Final = frozenset({"int", "float", "bool", "str", "bytes", "NoneType"})


def settled(symbol: Symbol) -> bool | None:
    """Whether the condition is true, whatever its parts that are not constant; None where they matter."""
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
    if symbol.kind == "turn":
        return _agreed(settled(value) for value in symbol.args)
    return _compared(symbol) if symbol.kind == "compare" else None


def _compared(symbol: Symbol) -> bool | None:
    left, right = symbol.args
    if right.kind == "compound" and symbol.head[0] == "in" and right.head[0] in ("Tuple", "List", "Set"):
        values = _plain(left)
        if values is None or not all(len(_plain(item) or ()) == 1 for item in right.args):
            return None
        members = [item.head[1] for item in right.args]
        return _agreed(value.head[1] in members for value in values)
    mine, its = _plain(left), _plain(right)
    if mine is None or its is None:
        return None
    if symbol.head[0] == "is":
        return _agreed(one is other for one in mine for other in its)
    return _agreed(one.head[1] == other.head[1] for one in mine for other in its) if symbol.head[0] == "==" else None


def _plain(symbol: Symbol) -> tuple[Symbol, ...] | None:
    """The constants that a symbol is one of."""
    values = symbol.args if symbol.kind == "turn" else (symbol,)
    return values if all(value.kind == "constant" and value.head[0] in _PLAIN for value in values) else None


def _agreed(outcomes: Iterable[bool | None]) -> bool | None:
    """The common outcome of all of them; None if they differ."""
    found = set(outcomes)
    return found.pop() if len(found) == 1 else None
