"""The `with` statement: the calls on entering and leaving, around the body."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .state import Frame, Run


from ...ir.nodes import Call, Compound, Name, Span, Try, With
from ..calls.program_calls import invoke
from ..calls.wrapped_models import modes_of
from ..domain.symbol import attribute
from ..domain.value import Value
from ..effects import Event, Leave
from .binding import bind
from .exceptions import attempt, head
from .expressions import evaluate
from .scopes import Within
from .wrappers import around


def managed(frame: Frame, statement: With, run: Run) -> None:
    """`with`: interpret the calls on entering and leaving, around the body."""
    first = statement.items[0][0]
    if isinstance(first, Call) and _suppresses(frame, first):
        later = statement.items[1:]
        body = (With(later, statement.body, statement.span),) if later else statement.body
        handler = (Compound("Tuple", first.args), None, ())
        attempt(frame, Try(body, (handler,), (), (), statement.span), run, "with")
        return
    managers: list[Value] = []
    modes = frame.modes
    for expr, target in statement.items:
        modes |= modes_of(frame, expr)
        manager = evaluate(frame, expr)
        managers.append(manager)
        entered = _half(frame, manager, ("__enter__", "__aenter__"), statement.span)
        if target is not None:
            # A manager nearly always hands out itself.
            bind(frame, target, entered if entered is not None and entered.reference.instance is not None else manager)
    with frame.collecting() as items:
        with Within(frame, modes):
            run(frame, statement.body)
        if not (items and isinstance(items[-1], (Event, Leave))):
            _leave_temporary(frame, statement, managers)
        for manager in reversed(managers):
            if manager.reference.manager:
                items[:] = around(manager.reference.manager, tuple(items))  # type: ignore[arg-type]  # a term
            elif not (items and isinstance(items[-1], Leave)):
                _half(frame, manager, ("__exit__", "__aexit__"), statement.span)
    frame.extend(items)


def _suppresses(frame: Frame, expr: Call) -> bool:
    """`contextlib.suppress(...)`: a `try` whose handler does nothing."""
    target = evaluate(frame, expr.function).reference.target
    return target is not None and target.name == "contextlib.suppress"


def _leave_temporary(frame: Frame, statement: With, managers: list[Value]) -> None:
    """Note that a temporary folder is removed when the ranks that made it leave, unless all synchronised before."""
    for manager, (expr, _) in zip(managers, statement.items, strict=True):
        causes = tuple(cause for cause in manager.uniformity.causes if cause.kind == "rank")
        if manager.reference.kind in frame.context.catalog.temporary and causes and not frame.alone_here:
            frame.statement = statement.span
            frame.note("temporary", head(statement.span, "with"), causes, expr)


def _half(frame: Frame, manager: Value, names: tuple[str, ...], span: Span) -> Value | None:
    """Enter or leave a context manager of the program; None for any other."""
    if manager.reference.instance is None:
        return None
    for name in names:
        targets = frame.context.program.methods(manager.reference.instance, name)
        if targets:
            callee = Value(attribute(manager.symbol, name)).referring(target=targets[0], receiver=manager)
            return invoke(frame, targets, callee, Call(Name(name), (), (), False, head(span, "with")), [], {})
    return None
