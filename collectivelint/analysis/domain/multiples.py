"""Numbers and lengths that are rounded to a multiple of another number, which ranks then share evenly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .symbol import Symbol, call, name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .value import Value

_LEN: Final = name("len")
_NONE: Final[frozenset[Symbol]] = frozenset()
#: Factors of factors of factors ... that are looked for.
_DEEPEST: Final = 4


def factors(symbol: Symbol, variables: Mapping[str, Value], depth: int = _DEEPEST) -> frozenset[Symbol]:
    """What an integer is a multiple of by the way it is computed: `ceil(n / size) * size`, `n // size * size`, `n + -n % size`."""
    written = _written(symbol, variables)
    if written.kind != "compound" or len(written.args) != 2 or depth == 0:
        return _NONE
    left, right = written.args
    if written.head == ("Mult",):
        if _is_fraction(left, variables) or _is_fraction(right, variables):
            return _NONE
        return frozenset({left, right}) | factors(left, variables, depth - 1) | factors(right, variables, depth - 1)
    if written.head not in (("Add",), ("Sub",)):
        return _NONE
    common = factors(left, variables, depth - 1) & factors(right, variables, depth - 1)
    return common | _remainders(right, left, variables)


def padded(container: Value, added: Value, variables: Mapping[str, Value]) -> frozenset[Symbol]:
    """What the length of a container is a multiple of when as much has been `added` as it was short of: `total - len(x)`."""
    length = call(_LEN, (container.symbol,))
    found = _remainders(added.symbol, length, variables)
    for inner in _walk(added.written, variables):
        if inner.kind == "compound" and inner.head == ("Sub",) and inner.args[1] is length:
            found |= factors(inner.args[0], variables)
    return found


def shared_evenly(container: Value, share: Value, variables: Mapping[str, Value]) -> bool:
    """Whether `items[rank::size]` is equally long for each rank: of as many items as `size` goes into."""
    if len(share.symbol.args) != 3:
        return False
    _, end, step = share.symbol.args
    return step in container.extent.whole or step in factors(end, variables)


def cut(share: Value, variables: Mapping[str, Value]) -> frozenset[Symbol]:
    """What the length of `items[:count]` is a multiple of."""
    bounds = share.symbol.args
    is_start = bool(bounds) and bounds[0].kind == "constant" and bounds[0].head[1] in (None, 0)
    return factors(bounds[1], variables) if is_start and len(bounds) > 1 else _NONE


def tested(condition: Symbol) -> Iterator[tuple[Symbol, Symbol]]:
    """Each container whose length is divided in a condition, with the divisor: `len(items) % size`."""
    for inner in condition.walk():
        if inner.kind == "compound" and inner.head == ("Mod",):
            length, divisor = inner.args
            if length.kind == "call" and length.args[0] is _LEN and len(length.args) == 2:
                yield length.args[1], divisor


def _remainders(symbol: Symbol, number: Symbol, variables: Mapping[str, Value]) -> frozenset[Symbol]:
    """The divisors of which the remainder of `number` is in an expression."""
    return frozenset(
        inner.args[1]
        for inner in _walk(symbol, variables)
        if inner.kind == "compound" and inner.head == ("Mod",) and any(part is number for part in inner.args[0].walk())
    )


def _is_fraction(symbol: Symbol, variables: Mapping[str, Value]) -> bool:
    written = _written(symbol, variables)
    if written.kind == "constant":
        return written.head[0] == "float"
    return written.kind == "compound" and written.head == ("Div",)


def _walk(symbol: Symbol, variables: Mapping[str, Value]) -> Iterator[Symbol]:
    """What is in an expression, and in those that its variables were assigned from."""
    for inner in _written(symbol, variables).walk():
        written = _written(inner, variables)
        if written is inner:
            yield inner
        else:
            yield from written.walk()


def _written(symbol: Symbol, variables: Mapping[str, Value]) -> Symbol:
    """The expression that a variable was assigned from; of any other symbol itself."""
    if symbol.kind != "place":
        return symbol
    return next((value.written for value in variables.values() if value.symbol is symbol), symbol)
