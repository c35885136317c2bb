"""Catalogue calls that run a function passed to them, on every rank or on one, before the ranks synchronise."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Call
from ..effects import Choice
from ..transfer.binding import axis_of, guarding
from ..transfer.guards import guard_of
from ..transfer.scopes import Arm, Under

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...catalog.model import Api
    from ..domain.value import Value
    from ..transfer.state import Frame


def run_given(
    frame: Frame,
    expr: Call,
    api: Api,
    args: list[Value],
    keywords: dict[str, Value],
    run: Callable[[Frame, Call, Value, list[Value], dict[str, Value]], Value],
    *,
    bound: bool,
) -> None:
    """Run the function passed as the parameter that the catalogue row calls `runs`; `run` interprets a call.

    If it is the last parameter, the arguments after it are passed on to it. `bound`: the call is a method of an
    instance.
    """
    params = api.params[1:] if bound and api.params[:1] == ("self",) else api.params
    if expr.spread or api.runs is None or api.runs not in params:
        return
    at = params.index(api.runs)
    written = dict(expr.keywords)
    if api.runs in written:
        inner, function, passed = Call(written[api.runs], (), (), False, expr.span), keywords[api.runs], []
    elif at < len(args):
        behind = len(args) if at == len(params) - 1 else at + 1
        inner = Call(expr.args[at], expr.args[at + 1 : behind], (), False, expr.span)
        function, passed = args[at], args[at + 1 : behind]
    else:
        return
    if function.reference.target is None and not function.reference.runs and function.given_as is None:
        return
    if not api.one:
        run(frame, inner, function, passed, {})
        return
    condition = guarding(frame, axis_of(api.axis), expr.span, one=True)
    guard = guard_of(frame, condition, expr.span)
    with Arm(frame) as arm, Under(frame, guard, condition):
        frame.conditions.append(condition.symbol)
        run(frame, inner, function, passed, {})
        frame.conditions.pop()
    if arm.items:
        frame.emit(Choice(guard, tuple(arm.items), ()))
