"""Function results: the values returned on several paths, as one value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.joining import join, or_default
from ..domain.sharding import either_test, is_sharding_test
from ..domain.value import UNKNOWN, Value
from .fallbacks import without_fallback

if TYPE_CHECKING:
    from ...ir.nodes import Span
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..effects import Guard
    from .state import Frame


def returned(frame: Frame, value: Value, span: Span) -> None:
    """`return value` at a span: join the value to the function's result."""
    facts, value = frame.facts, result(frame, value)
    facts.return_arm = deciding_arm(frame, value)
    if frame.single_rank:
        facts.alone = facts.alone or value
    elif facts.returns is None:
        facts.returns = value
    else:
        fresh = frame.fresh("result", frame.function.span)
        guard = facts.return_arm[1] if facts.return_arm is not None else None
        group = or_default(facts.returns, value, frame.conditions[-1]) if frame.conditions else None
        facts.returns = group or either(facts.returns, value, fresh, guard, frame.cause("branch", span))


def result(frame: Frame, value: Value) -> Value:
    """The value as callers see it."""
    if value.constant is True and frame.conditions and is_sharding_test(frame.conditions[-1]):
        # `if isinstance(model, FSDP): return True`: the condition in other words.
        return Value(frame.conditions[-1])
    return without_fallback(frame, value)


def deciding_arm(frame: Frame, value: Value) -> tuple[Guard, Value] | None:
    """The condition, different between ranks, that decides between this returned value and the earlier ones."""
    if not frame.guards:
        return frame.facts.return_arm
    arm, before = frame.guards[-1], frame.facts.return_arm
    if before is None or before is arm or before[1] is not arm[1] or value != frame.facts.returns:
        return arm
    # Both arms return the same: what is around them decides.
    return frame.guards[-2] if len(frame.guards) > 1 else None


def either(one: Value, other: Value, fresh: Symbol, guard: Value | None, where: Cause) -> Value:
    """The join of two returned values: `return 0` beside `return get_rank()` is still a rank."""
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
