"""Arguments that frameworks pass to hook methods, and state that they read on every rank to decide what comes next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...catalog.operations import SETTING
from ...ir.nodes import Attribute, Call
from ...program.target import Target
from ..calls.catalog_calls import known
from ..domain.value import UNKNOWN, Value
from ..effects import Choice, Event, map_term
from .expressions import evaluate
from .guards import guard_of
from .scopes import Discarding

if TYPE_CHECKING:
    from ...ir.nodes import Expr, Parameter
    from ..effects import Item, Term
    from .state import Frame


def passed_in(frame: Frame, parameter: Parameter, value: Value) -> Value:
    """A parameter of a method that overrides a framework's hook: the framework determines its class."""
    catalog, function = frame.context.catalog, frame.function
    if function.owner is None or value.reference.instance is not None or value.reference.kind is not None:
        return value
    catalog.convention(parameter.name, "object")
    rules = [rule for rule in catalog.known_names[parameter.name] if rule.of is not None]
    if not rules:
        return value
    outside = frame.context.program.outside(Target("class", function.path, function.owner))
    kind = next((rule.type for rule in rules if not rule.of_classes.isdisjoint(outside)), None)
    return value if kind is None else value.referring(kind=kind, meaning=catalog.classes.get(kind))


def note_setting(frame: Frame, target: Attribute, value: Value) -> None:
    """`trainer.should_stop = ...`: an event where the framework reads it on every rank, unless the ranks have shared the value."""
    with Discarding(frame):
        owner = evaluate(frame, target.value)
    catalog, kind = frame.context.catalog, owner.reference.kind
    if kind is None and owner.reference.instance is not None:
        classes = (catalog.class_of(name) for name in frame.context.program.outside(owner.reference.instance))
        kind = next((name for name in classes if name is not None), None)
    api = catalog.apis.get(f"{kind}.{target.name}")
    if api is None or api.operation != SETTING or (value.constant is not UNKNOWN and not value.constant):
        return
    if not value.uniformity.varies and any(cause.kind == "received" for cause in value.origin.origins):
        frame.out[:] = map_term(tuple(frame.out), lambda item: _unless_set(item, api.op))
        return
    with frame.collecting() as items:
        known(
            frame,
            Call(target, (), (), False, frame.statement),
            api,
            Value(owner.symbol).referring(receiver=owner),
            [],
            {},
        )
    frame.extend(
        (Choice(guard_of(frame, value, frame.statement), tuple(items), ()),) if value.uniformity.varies else items
    )


def _unless_set(item: Item, name: str) -> Term:
    """The item, or nothing if it is the event of setting the attribute `name`."""
    return () if isinstance(item, Event) and item.operation == SETTING and item.op == name else (item,)


def run_registered(frame: Frame, expr: Expr) -> None:
    """`accelerator.save_state(folder)` first runs the functions that the same file has registered for it."""
    catalog = frame.context.catalog
    if (
        not isinstance(expr, Call)
        or not isinstance(expr.function, Attribute)
        or expr.function.name not in catalog.settings
    ):
        return
    with Discarding(frame):
        owner = evaluate(frame, expr.function.value)
    api = catalog.apis.get(f"{owner.reference.kind}.{expr.function.name}")
    if api is None or api.runs is None or not api.runs.endswith("()"):
        return
    for function, call in frame.context.calls_in(frame.path, api.runs.removesuffix("()")):
        hook = call.args[0] if call.args else None
        if hook is None or (function.owner != frame.function.owner and function.qualname != frame.function.qualname):
            continue
        with Discarding(frame):
            target = evaluate(frame, hook).reference.target
        if target is not None and target.kind == "function":
            evaluate(frame, Call(hook, (), (), False, expr.span))
