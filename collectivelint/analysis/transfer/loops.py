"""Loops: turns that are interpreted, and what their number depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..calls.catalog_calls import iterated
from ..domain.flowing import each
from ..domain.symbol import WORLD, make
from ..domain.value import Value
from ..effects import Guard, Item, Repeat
from .binding import bind
from .conditions import joined
from .expressions import condition, evaluate
from .guards import guard_of
from .scopes import Turn, Under

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Loop
    from .state import Frame, Run


def loop(frame: Frame, statement: Loop, run: Run) -> None:
    """`for` and `while`: one turn is interpreted, a second one where the first has changed what varies."""
    entering = dict(frame.variables)
    for _ in range(_MOST_TURNS):
        before = dict(frame.variables)
        with frame.collecting() as turn:
            _turn(frame, statement, run)
        carried = _carried(before, frame.variables)
        frame.variables = joined(frame, before, [(frame.variables, ()), (before, ())], None, statement.span)
        if not carried:
            break
    frame.extend(turn)
    frame.variables = joined(frame, entering, [(frame.variables, ()), (entering, ())], None, statement.span)
    run(frame, statement.orelse)


#: Turns of a loop that are interpreted until what varies at its head no longer changes.
_MOST_TURNS: Final = 2


def _carried(before: Mapping[str, Value], after: Mapping[str, Value]) -> bool:
    """Whether a variable enters the next iteration of a loop varying as it did not enter this one."""
    return any(
        (value.uniformity.varies and not known.uniformity.varies) or (value.extent.uneven and not known.extent.uneven)
        for name, value in after.items()
        if (known := before.get(name)) is not None and known is not value
    )


def _turn(frame: Frame, statement: Loop, run: Run) -> None:
    """Interpret a loop once; its `Repeat` becomes the frame's term."""
    over = unordered = None
    head: tuple[Item, ...] = ()
    if statement.target is None:
        # The condition is computed once more than the body runs; its collectives belong to every turn.
        with frame.collecting() as items:
            value, guard = condition(frame, statement.iterable, statement.head)
        head = tuple(items)
        symbol = make("loop", ("while",), (guard.symbol,))
        trips = guard if guard.varies or guard.depends else None
    else:
        value = evaluate(frame, statement.iterable)
        iterated(frame, statement.iterable, value, statement.span)
        symbol = make("loop", ("for",), (value.symbol,))
        unordered = value.extent.unordered
        over = value.given_as
        trips = _trips(frame, statement, value)
        element = frame.fresh("each", statement.span)
        frame.elements[element] = value.symbol
        bind(frame, statement.target, each(value, element))
    with frame.collecting() as items, Turn(frame, value.symbol):
        if trips is not None:
            with Under(frame, trips, value.varying(varies=trips.varies, causes=trips.causes)):
                run(frame, statement.body)
        else:
            run(frame, statement.body)
    body = (*head, *items)
    if body:
        frame.emit(Repeat(symbol, body, trips, unordered, over))


def _trips(frame: Frame, statement: Loop, value: Value) -> Guard | None:
    """The number of turns as a condition, where it differs between ranks."""
    if not value.extent.uneven:
        return None
    axes = value.uniformity.varies or frozenset({WORLD})
    counted = Value(make("turns", (), (value.symbol,))).varying(
        varies=axes, causes=value.extent.uneven, depends=value.uniformity.depends
    )
    return guard_of(frame, counted, statement.head)
