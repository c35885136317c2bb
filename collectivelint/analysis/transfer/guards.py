"""Guards: conditions in the form that the choices on them carry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain import symbol as symbols
from ..domain.flowing import flow
from ..domain.recognise import is_remainder, launched
from ..domain.symbol import WORLD, Symbol, compare
from ..domain.value import NONE, UNKNOWN, Value
from ..effects import Choice, Guard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...ir.nodes import Span
    from ..domain.causes import Cause
    from ..effects import Term
    from .state import Frame


def guard_of(frame: Frame, value: Value, span: Span) -> Guard:
    """The guard of choices on a condition at `span` that was evaluated to `value`."""
    symbol, positive = value.symbol.positive, not value.symbol.is_negation
    return Guard(
        symbol=symbol,
        varies=value.uniformity.varies,
        causes=value.uniformity.causes,
        depends=value.uniformity.depends | value.origin.elements,
        one=value.uniformity.one if positive or value.uniformity.one is None else not value.uniformity.one,
        path=frame.path,
        span=span,
        statement=frame.statement,
        positive=positive,
        maybe=value.uniformity.maybe,
        chosen=_chosen(symbol, value),
    )


def trips_of(frame: Frame, value: Value, causes: tuple[Cause, ...], span: Span) -> Guard | None:
    """The number of iterations over `value` as a guard; None if no `causes` let it differ between ranks."""
    if not causes:
        return None
    axes = value.uniformity.varies or frozenset({WORLD})
    counted = Value(symbols.make("turns", (), (value.symbol,))).varying(
        varies=axes, causes=causes, depends=value.uniformity.depends
    )
    return guard_of(frame, counted, span)


def choose(frame: Frame, guard: Guard, then: Term, orelse: Term, *, positive: bool = True) -> None:
    """Append the choice between two terms, unless both are empty."""
    if then or orelse:
        frame.emit(Choice(guard, then, orelse) if positive else Choice(guard, orelse, then))


def _chosen(symbol: Symbol, value: Value) -> tuple[str, object] | None:
    """The parameter that alone decides the condition, and the value that makes it true; None if there is none."""
    if len(value.uniformity.depends) != 1:
        return None
    (name,) = value.uniformity.depends
    if symbol.parameter == name:
        return (name, UNKNOWN)
    if symbol is compare("is", symbols.parameter(name), NONE.symbol):
        return (name, None)
    return None


def truth(value: Value, *, negate: bool) -> Value:
    """`bool(value)` or its opposite, as a canonical symbol."""
    symbol, one = value.symbol, value.uniformity.one
    if value.extent.uneven and not value.uniformity.varies:
        # A container is true unless it is empty.
        value = value.varying(varies=frozenset({WORLD}), causes=value.extent.uneven)
    if value.uniformity.varies and value.uniformity.one is None and value.reference.kind == "rank":
        # A rank is true unless it is 0.
        symbol, one = compare("==", symbol, symbols.constant(0)).negate(), False
    elif is_remainder(symbol):
        symbol = compare("==", symbol, symbols.constant(0)).negate()
    if negate:
        symbol = symbol.negate()
        one = None if one is None else not one
    return flow(symbol, (value,)).but(constant=UNKNOWN).varying(one=one)


def perhaps(op: str, parts: Sequence[Value], value: Value) -> Value:
    """`elastic or rank == 0`: true on all ranks or on one, depending on the configuration."""
    if op != "or" or not value.uniformity.varies:
        return value
    varying = [part for part in parts if part.uniformity.varies]
    others = [launched(part.symbol) for part in parts if not part.uniformity.varies]
    if None in others:
        return value.varying(maybe=True)
    # `not is_initialized() or rank == 0` still holds on one rank of several.
    return value.varying(one=varying[0].uniformity.one) if len(varying) == 1 and not any(others) else value
