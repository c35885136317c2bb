"""Remainders of integers, derived from how each is computed from another number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .symbol import Symbol, name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .value import Value

_LEN: Final = name("len")
_NONE: Final[frozenset[Symbol]] = frozenset()
#: Expressions in each other that are looked into.
_DEEPEST: Final = 8


def written(symbol: Symbol, variables: Mapping[str, Value]) -> Symbol:
    """The expression that a variable was assigned from; any other symbol unchanged."""
    if symbol.kind != "place":
        return symbol
    return next((value.written for value in variables.values() if value.symbol is symbol), symbol)


def is_len(symbol: Symbol) -> bool:
    """Whether it is `len(x)`."""
    return symbol.kind == "call" and len(symbol.args) == 2 and symbol.args[0] is _LEN


def known_multiples(symbol: Symbol, variables: Mapping[str, Value]) -> frozenset[Symbol]:
    """The known divisors of a variable, or of its length."""
    if symbol.kind == "constant":
        return _NONE
    found = written(symbol, variables)
    known = (symbol, found.args[1]) if is_len(found) else (symbol,)
    return _NONE.union(*[value.extent.whole for value in variables.values() if value.symbol in known])


def completed(symbol: Symbol, number: Symbol, variables: Mapping[str, Value], sign: int) -> frozenset[Symbol]:
    """The divisors modulo which an expression equals `number` (`sign` 1) or minus `number` (`sign` -1).

    An expression that uses a remainder of the number in an unknown way is given the benefit of the doubt.
    """
    found: set[Symbol] = set()
    numbers = {number, written(number, variables)}
    for remainder in {*_remainders(symbol, variables, _DEEPEST)}:
        divisor = remainder.args[1]
        same = {divisor, written(divisor, variables)}
        times = _times(symbol, numbers, same, variables, _DEEPEST)
        doubtful = times is None and _mentions(remainder.args[0], numbers, variables)
        if times == sign or doubtful:
            found |= same
    return frozenset(found)


def _times(
    symbol: Symbol, numbers: set[Symbol], divisor: set[Symbol], variables: Mapping[str, Value], depth: int
) -> int | None:
    """The factor by which an expression is a multiple of a number, modulo the divisor; None where that is not known."""
    found = written(symbol, variables)
    if symbol in numbers or found in numbers:
        return 1
    if symbol in divisor or found in divisor or not divisor.isdisjoint(known_multiples(symbol, variables)):
        return 0
    if found.kind == "constant":
        return 0 if found.head == ("int", 0) else None
    if depth == 0:
        return None
    if found.kind == "conditional":
        # `size - rest if rest else 0`
        arms = [arm for arm in found.args[1:] if arm.head != ("int", 0)]
        return _times(arms[0], numbers, divisor, variables, depth - 1) if len(arms) == 1 else None
    if found.kind != "compound":
        return None
    inner = [_times(part, numbers, divisor, variables, depth - 1) for part in found.args]
    left, right = inner[0] if inner else None, inner[-1] if inner else None
    match found.head[0]:
        case "USub" if left is not None:
            return -left
        case "Mod" if found.args[1] in divisor or written(found.args[1], variables) in divisor:
            return left
        case "Add" if left is not None and right is not None:
            return left + right
        case "Sub" if left is not None and right is not None:
            return left - right
        case "Mult" if left == 0 or right == 0 or not divisor.isdisjoint(found.args):
            return 0
        case _:
            return None


def _remainders(symbol: Symbol, variables: Mapping[str, Value], depth: int) -> Iterator[Symbol]:
    """The remainders in an expression, and in those that its variables were assigned from."""
    found = written(symbol, variables)
    if found.kind == "compound" and found.head == ("Mod",):
        yield found
    if depth > 0:
        for part in found.args:
            yield from _remainders(part, variables, depth - 1)


def _mentions(symbol: Symbol, numbers: set[Symbol], variables: Mapping[str, Value]) -> bool:
    return any(part in numbers or written(part, variables) in numbers for part in symbol.walk())
