"""Loops: the interpretation of iterations, and what their number depends on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Call, Compare, Exit, Loop, Name, blocks
from ...ir.nodes import walk as walk_expression
from ..calls.catalog_calls import iterated
from ..domain.alternatives import bound, element_of
from ..domain.counts import counted
from ..domain.flowing import each
from ..domain.kinds import TOLD
from ..domain.multiples import divided
from ..domain.symbol import make
from ..domain.symbol import name as name_symbol
from ..effects import Choice, Deferred, Event, Item, Leave, Repeat, walk
from .binding import bind
from .conditions import joined
from .expressions import condition, evaluate
from .generators import own_length
from .guards import trips_of
from .own_data import may_end_early
from .own_sources import batch
from .scopes import Discarding, Turn, Under

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Block, Expr
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..effects import Term
    from .state import Frame, Run


def loop(frame: Frame, statement: Loop, run: Run) -> None:
    """`for` and `while`: one iteration is interpreted, and a second one if the first changes which values vary."""
    entering = dict(frame.variables)
    counted: Symbol | None = None
    for _ in range(_MOST_TURNS):
        before = dict(frame.variables)
        with frame.collecting() as turn:
            decisive = _turn(frame, statement, run)
        counted = counted or decisive
        carried = _carried(before, frame.variables)
        frame.variables = joined(frame, before, [(frame.variables, ()), (before, ())], None, statement.span)
        if not carried:
            break
    frame.extend(turn)
    frame.variables = joined(frame, entering, [(frame.variables, ()), (entering, ())], None, statement.span)
    if statement.target is None and counted is not None and not _breaks(statement.body):
        _filled(frame, entering, counted.negate())
        _levelled(frame, statement.iterable)
    run(frame, statement.orelse)


def _filled(frame: Frame, entering: Mapping[str, Value], condition: Symbol) -> None:
    """`while len(items) % size: items.append(...)`: afterwards the length is a multiple of `size`."""
    for container, divisor in divided(condition, entering):
        for name, value in entering.items():
            if value.symbol is container and name in frame.variables:
                frame.variables[name] = frame.variables[name].sized(whole=frozenset({divisor}))


def _levelled(frame: Frame, condition: Expr) -> None:
    """`while len(items) < max(sizes): items.append(...)`: afterwards the length is the same on all ranks."""
    match condition:
        case Compare(left=Call(function=Name(id="len"), args=(Name(id=name),)), op="<", right=bound):
            pass
        case Compare(left=bound, op=">", right=Call(function=Name(id="len"), args=(Name(id=name),))):
            pass
        case _:
            return
    with Discarding(frame):
        value = evaluate(frame, bound)
    known = frame.variables.get(name)
    if known is not None and known.extent.uneven and not value.uniformity.varies:
        frame.variables[name] = known.sized(uneven=())


def _breaks(block: Block) -> bool:
    """Whether a loop may be left by a `break`."""
    pending = [*block]
    while pending:
        statement = pending.pop()
        if isinstance(statement, Exit) and statement.kind == "break":
            return True
        if not isinstance(statement, Loop):
            pending += [inner for part in blocks(statement) for inner in part]
    return False


_RANGE: Final = name_symbol("range")
#: Turns of a loop that are interpreted until what varies at its head no longer changes.
_MOST_TURNS: Final = 2


def _carried(before: Mapping[str, Value], after: Mapping[str, Value]) -> bool:
    """Whether a variable or attribute varies at the end of an iteration but did not at its start."""
    return any(
        bool(value.uniformity.varies and "." in name)
        if known is None
        else (value.uniformity.varies and not known.uniformity.varies)
        or (value.extent.uneven and not known.extent.uneven)
        for name, value in after.items()
        if (known := before.get(name)) is not value
    )


def _turn(frame: Frame, statement: Loop, run: Run) -> Symbol | None:
    """Interpret one iteration and add the `Repeat` to the frame's term; returns the condition of a `while` loop."""
    over = unordered = asked = None
    mark = f"{frame.path}:{statement.span.line}:{statement.span.column}"
    head: tuple[Item, ...] = ()
    if statement.target is None:
        # The condition is computed once more than the body runs; its collectives belong to every turn.
        with frame.collecting() as items:
            value, guard = condition(frame, statement.iterable, statement.head)
        asked = value.symbol
        # In its body, and, with the other outcome, behind it.
        frame.asked.append(asked)
        head = tuple(items)
        symbol = make("loop", ("while",), (guard.symbol,))
        trips = guard if guard.varies or guard.depends else None
    else:
        value = evaluate(frame, statement.iterable)
        iterated(frame, statement.iterable, value, statement.span)
        symbol = make("loop", ("for",), (counted(value.symbol, frame.variables),))
        unordered = value.extent.unordered
        over = value.given_as
        causes = own_length(frame, value)
        if any(cause.kind == "stream" for cause in causes) and (
            _breaks(statement.body) or not may_end_early(frame, None)
        ):
            # It ends after so many batches, or the ranks that have run out join in.
            causes = ()
        trips = trips_of(frame, value, causes, statement.head)
        symbol_of_element = frame.fresh("each", statement.span)
        frame.elements[symbol_of_element] = value.symbol
        element = each(value, symbol_of_element)
        known = element_of(value)
        if known is not None:
            element = bound(element, known, frame.position(statement.span))
            frame.elements[element.symbol] = value.symbol
        if unordered is not None or over is not None:
            element = _marked(element, mark)
        if value.extent.size_of is not None and value.written.kind == "call" and value.written.args[0] is _RANGE:
            element = element.sized(index_of=value.extent.size_of)
        bind(frame, statement.target, batch(frame, statement, value, element))
    with frame.collecting() as items, Turn(frame, value.symbol):
        if trips is not None:
            with Under(frame, trips, value.varying(varies=trips.varies, causes=trips.causes)):
                run(frame, statement.body)
        else:
            run(frame, statement.body)
    body = (*head, *items)
    if not body:
        return asked
    if statement.target is None and any(_is_received(frame, expr) for expr in walk_expression(statement.iterable)):
        # Another rank says when it ends.
        symbol = make("loop", ("while", TOLD), symbol.args)
    if (unordered is not None or over is not None) and not _is_ordered(body, mark):
        unordered = over = None
    frame.emit(Repeat(symbol, body, trips, unordered, over))
    return asked


def _is_received(frame: Frame, expr: Expr) -> bool:
    """Whether it is a variable with data received from another rank."""
    value = frame.variables.get(expr.id) if isinstance(expr, Name) else None
    return value is not None and any(cause.kind == "received" for cause in value.origin.origins)


def _marked(value: Value, mark: str) -> Value:
    """The loop element and each of its parts, marked so that values computed from it are recognised."""
    parts = tuple([_marked(part, mark) for part in value.reference.parts])
    found = value.sourced(elements=value.origin.elements | {mark})
    return found.referring(parts=parts) if parts else found


def _is_ordered(body: Term, mark: str) -> bool:
    """Whether the order of iterations matters: communicated data, or which collectives run, depend on the element."""
    kinds: set[object] = set()
    decided = False
    for item in walk(body):
        match item:
            case Event():
                if mark in item.data:
                    return True
                kinds.add(item.token)
            case Choice():
                if mark in item.guard.depends:
                    if any(inner.kind != "continue" for inner in walk((item,)) if isinstance(inner, Leave)):
                        return True
                    decided = True
            case Repeat() | Deferred():
                # How often these run what, in a turn, may be a matter of the element.
                decided = True
    return decided and len(kinds) > 1
