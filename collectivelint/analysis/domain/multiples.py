"""Numbers and lengths that are rounded to a multiple of another number, which ranks then share evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .remainders import completed, is_len, known_multiples, written
from .symbol import Symbol, call, name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .value import Value

_LEN: Final = name("len")
_NONE: Final[frozenset[Symbol]] = frozenset()
#: Factors of factors of factors ... that are looked for.
_DEEPEST: Final = 4
#: Expressions in each other that are looked into for what is added to a container.
_MOST_ADDED: Final = 60


def factors(symbol: Symbol, variables: Mapping[str, Value], depth: int = _DEEPEST) -> frozenset[Symbol]:
    """The divisors of an integer, by its expression: `ceil(n / size) * size`, `n

    size * size`, `n + -n % size`.
    """
    known = known_multiples(symbol, variables)
    whole = written(symbol, variables)
    if whole.kind != "compound" or len(whole.args) != 2 or depth == 0:
        return known
    left, right = whole.args
    if whole.head == ("Mult",):
        if _is_fraction(left, variables) or _is_fraction(right, variables):
            return known
        below = factors(left, variables, depth - 1) | factors(right, variables, depth - 1)
        return known | {left, right} | below
    if whole.head not in (("Add",), ("Sub",)):
        return known
    common = factors(left, variables, depth - 1) & factors(right, variables, depth - 1)
    return known | common | completed(right, left, variables, 1 if whole.head == ("Sub",) else -1)


def padded(container: Value, added: Value, variables: Mapping[str, Value]) -> frozenset[Symbol]:
    """The divisors of a container's length after padding, where `added` is what was missing: `total - len(x)`."""
    length = call(_LEN, (container.symbol,))
    found: frozenset[Symbol] = _NONE
    pending = [added.symbol, added.written]
    seen: set[Symbol] = set()
    while pending and len(seen) < _MOST_ADDED:
        symbol = written(pending.pop(), variables)
        if symbol in seen:
            continue
        seen.add(symbol)
        if symbol.kind == "compound" and symbol.head[0] in ("Add", "Sub", "Mod", "USub"):
            found |= completed(symbol, length, variables, -1)
            if symbol.head == ("Sub",) and written(symbol.args[1], variables) is length:
                found |= factors(symbol.args[0], variables)
            if symbol.head != ("Add",):
                continue
        pending += symbol.args
    return found


def fills_up(container: Value, added: Value) -> bool:
    """Whether the number added is a target minus the length of the container."""
    length = call(_LEN, (container.symbol,))
    inner = (*added.symbol.walk(), *added.written.walk())
    return any(part.kind == "compound" and part.head == ("Sub",) and part.args[1] is length for part in inner)


def shared_evenly(container: Value, share: Value, variables: Mapping[str, Value]) -> bool:
    """Whether `items[rank::size]` has the same length on each rank: `size` divides the number of items."""
    if len(share.symbol.args) != 3:
        return False
    _, end, step = share.symbol.args
    whole = container.extent.whole | factors(end, variables)
    return step in whole or written(step, variables) in whole


def dealt_evenly(items: Value, test: Value, variables: Mapping[str, Value]) -> bool:
    """Whether `number % size == rank` keeps equally many items on each rank: `size` divides the number of items."""
    asked = test.symbol.positive
    if asked.kind != "compare" or asked.head[0] != "==" or test.symbol.is_negation:
        return False
    sides = [written(side, variables) for side in asked.args]
    divisors = [side.args[1] for side in sides if side.kind == "compound" and side.head == ("Mod",)]
    return any(one in items.extent.whole or written(one, variables) in items.extent.whole for one in divisors)


def cut(container: Value, share: Value, variables: Mapping[str, Value]) -> frozenset[Symbol]:
    """The divisors of the length of `items[:count]`."""
    bounds = share.symbol.args
    is_start = bool(bounds) and bounds[0].kind == "constant" and bounds[0].head[1] in (None, 0)
    if not is_start or len(bounds) < 2:
        return _NONE
    end = written(bounds[1], variables)
    if end.kind == "compound" and end.head == ("USub",):
        # So many fewer than there are.
        return completed(end.args[0], call(_LEN, (container.symbol,)), variables, 1)
    return factors(bounds[1], variables)


def divided(condition: Symbol, variables: Mapping[str, Value]) -> Iterator[tuple[Symbol, Symbol]]:
    """Pairs (number or container, divisor of it or of its length) where a condition is true.

    `len(items) % size == 0`, or that `len(items) % size` is false.
    """
    pending = [condition]
    while pending:
        asked = pending.pop()
        opposite = asked.args[0] if asked.kind == "not" else None
        if asked.kind == "and":
            pending += asked.args
        elif opposite is not None and opposite.kind == "or":
            pending += [part.negate() for part in opposite.args]
        else:
            remainder = _is_nothing(asked, opposite, variables)
            if remainder is not None:
                number, divisor = remainder.args
                yield number, divisor
                length = written(number, variables)
                if is_len(length):
                    yield length.args[1], divisor


def bounded(condition: Symbol, variables: Mapping[str, Value]) -> tuple[Symbol, bool] | None:
    """The container that a condition compares with a number all ranks share, and whether it says it is shorter."""
    asked = condition.positive
    if asked.kind != "compare" or asked.head[0] not in ("<", ">", "=="):
        return None
    length, bound = asked.args
    if asked.head[0] == ">":
        length, bound = bound, length
    if not is_len(length):
        return None
    parts = {*bound.walk()}
    if any(part.kind == "rank" or part is length for part in parts):
        return None
    if any(value.symbol in parts and value.uniformity.varies for value in variables.values()):
        return None
    return length.args[1], condition.is_negation == (asked.head[0] == "==")


def settle(variables: dict[str, Value], condition: Symbol) -> None:
    """Record the divisors of variables where a condition is true, and which containers are long enough."""
    found = bounded(condition, variables)
    if found is not None and not found[1]:
        for variable, value in variables.items():
            if value.symbol is found[0] and value.extent.uneven:
                variables[variable] = value.sized(uneven=())
    for symbol, divisor in divided(condition, variables):
        both = {divisor, written(divisor, variables)}
        for variable, value in variables.items():
            if value.symbol is symbol and not both <= value.extent.whole:
                variables[variable] = value.sized(whole=value.extent.whole | both)


def _is_nothing(asked: Symbol, opposite: Symbol | None, variables: Mapping[str, Value]) -> Symbol | None:
    """The remainder that a condition says is zero."""
    if asked.kind == "compare" and asked.head[0] == "==":
        left, right = asked.args
    elif opposite is not None and opposite.kind == "compare" and opposite.head[0] == ">":
        left, right = opposite.args
    elif opposite is not None and opposite.kind != "compare":
        return _as_remainder(opposite, variables)
    else:
        return None
    return _as_remainder(left, variables) if right.kind == "constant" and right.head == ("int", 0) else None


def _as_remainder(symbol: Symbol, variables: Mapping[str, Value]) -> Symbol | None:
    found = written(symbol, variables)
    return found if found.kind == "compound" and found.head == ("Mod",) else None


def _is_fraction(symbol: Symbol, variables: Mapping[str, Value]) -> bool:
    found = written(symbol, variables)
    if found.kind == "constant":
        return found.head[0] == "float"
    return found.kind == "compound" and found.head == ("Div",)
