"""Uneven shares: parts of a container that ranks pick by their number and that differ in length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .remainders import known_multiples, written
from .symbol import Symbol, call, constant, name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .value import Value

_LEN: Final = name("len")
_ONE: Final = constant(1)
#: Functions, and a method, that make as many parts as they are told, the first ones larger.
_SPLITS: Final = frozenset({"numpy.array_split", "torch.tensor_split"})
_SPLIT: Final = "tensor_split"
#: Functions that round up.
_CEILINGS: Final = frozenset({"math.ceil", "numpy.ceil"})


def is_uneven_share(container: Value, key: Value, variables: Mapping[str, Value]) -> bool:
    """Whether `container[key]`, with a rank in the key, has a different length on some rank.

    It may be a block of `ceil(len(x) / size)` items, a part of an `array_split`, or a strided slice from a list
    comprehension.
    """
    if not any(cause.kind == "rank" for cause in key.uniformity.causes):
        return False
    index = key.symbol
    if index.kind == "compound" and index.head == ("Slice",):
        return _is_block(container, index, variables)
    made = container.written
    if made.kind == "call" and len(made.args) == 3 and made.args[0].kind == "name" and made.args[0].head[0] in _SPLITS:
        return not _goes_into(made.args[2], made.args[1], variables)
    if (
        made.kind == "call"
        and len(made.args) == 2
        and made.args[0].kind == "attribute"
        and made.args[0].head[0] == _SPLIT
    ):
        return not _goes_into(made.args[1], made.args[0].args[0], variables)
    if made.kind == "comprehension" and made.args[0].kind == "subscript":
        items, part = made.args[0].args
        is_strided = part.kind == "compound" and part.head == ("Slice",) and len(part.args) == 3
        return is_strided and part.args[0].head[:1] == ("each",) and not _goes_into(part.args[2], items, variables)
    return False


def _is_block(container: Value, index: Symbol, variables: Mapping[str, Value]) -> bool:
    """`items[rank * n : (rank + 1) * n]` with a number that is rounded up."""
    start = written(index.args[0], variables)
    if start.kind != "compound" or start.head != ("Mult",):
        return False
    divisors = [_rounded_up(part, container.symbol, variables) for part in start.args]
    return any(divisor is not None and not _goes_into(divisor, container.symbol, variables) for divisor in divisors)


def _rounded_up(symbol: Symbol, container: Symbol, variables: Mapping[str, Value]) -> Symbol | None:
    """The divisor, where a number is the length of a container divided by it and rounded up."""
    found = written(symbol, variables)
    length = call(_LEN, (container,))
    if found.kind == "call" and found.args[0].kind == "name" and found.args[0].head[0] in _CEILINGS:
        quotient = written(found.args[-1], variables)
        if quotient.kind == "compound" and quotient.head == ("Div",) and written(quotient.args[0], variables) is length:
            return quotient.args[1]
    if found.kind == "compound" and found.head == ("FloorDiv",):
        number, divisor = found.args
        parts = {*written(number, variables).walk()}
        parts |= {written(part, variables) for part in parts}
        return divisor if {length, divisor, _ONE} <= parts else None
    return None


def _goes_into(divisor: Symbol, container: Symbol, variables: Mapping[str, Value]) -> bool:
    """Whether a number divides the length of a container."""
    length = call(_LEN, (container,))
    known = known_multiples(container, variables) | known_multiples(length, variables)
    return divisor in known or written(divisor, variables) in known
