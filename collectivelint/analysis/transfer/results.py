"""What a function returns: its results on several ways, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.joining import join
from ..domain.sharding import either_test, is_sharding_test
from ..domain.value import UNKNOWN, Value
from .fallbacks import without_fallback

if TYPE_CHECKING:
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from .state import Frame


def result(frame: Frame, value: Value) -> Value:
    """A value as it is returned here."""
    if value.constant is True and frame.conditions and is_sharding_test(frame.conditions[-1]):
        # `if isinstance(model, FSDP): return True`: the condition in other words.
        return Value(frame.conditions[-1])
    return without_fallback(frame, value)


def either(one: Value, other: Value, fresh: Symbol, guard: Value | None, where: Cause) -> Value:
    """The result of a function that returns either: `return 0` beside `return get_rank()` is still a rank."""
    if one.reference.kind == "rank" or other.reference.kind == "rank":
        rank, rest = (one, other) if one.reference.kind == "rank" else (other, one)
        if rest.constant is not UNKNOWN:
            return rank
    if one.uniformity.one is not None and other.constant is not UNKNOWN:
        return one
    if other.uniformity.one is not None and one.constant is not UNKNOWN:
        return other
    tests = [value for value in (one, other) if is_sharding_test(value.symbol)]
    if len(tests) == 2:
        return tests[0].but(symbol=either_test(one.symbol, other.symbol))
    if tests and any(value.constant is False for value in (one, other)):
        return tests[0]
    return join(one, other, fresh, guard, where)
