"""Models wrapped by a framework: their forward and backward passes, and the values computed from their outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...catalog.model import BACKWARD
from ...findings.confidence import Confidence, confidence_of
from ...ir.names import plain
from ...ir.nodes import Attribute, Call
from ..domain.symbol import WORLD, make
from ..domain.value import UNKNOWN
from ..domain.wrapped import Wrapped
from ..effects import FORWARD, CallSite, Deferred, Event, Repeat, map_term, walk
from ..transfer.guards import trips_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...catalog.model import Api, Catalog
    from ...ir.nodes import Expr
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..effects import Item, Term
    from ..transfer.state import Frame

#: The method that calling a model is.
CALL: Final = "__call__"
#: Methods of torch.nn.Module that give the module itself.
_ITSELF: Final = frozenset(
    {
        "apply",
        "bfloat16",
        "cpu",
        "cuda",
        "double",
        "eval",
        "float",
        "half",
        "requires_grad_",
        "to",
        "to_empty",
        "train",
        "type",
        "xpu",
    }
)
#: Functions that give a model, or a function, which runs the one that they are given.
_AROUND: Final = frozenset({"torch.compile", "torch.nn.SyncBatchNorm.convert_sync_batchnorm"})


def wrapper(catalog: Catalog, kind: str | None, group: Symbol, values: Mapping[str, Value]) -> Wrapped | None:
    """The wrapper that constructing the catalogue class `kind` with these arguments makes; None for any other class."""
    if kind is None or f"{kind}.{CALL}" not in catalog.apis:
        return None
    options = tuple((name, value.constant) for name, value in values.items() if isinstance(value.constant, bool))
    return Wrapped(kind, group, options)


def wrapped_with(api: Api, values: list[Value]) -> list[Value]:
    """The results of a call that wraps its arguments: any that may be a model is marked wrapped; constants are not."""
    if api.wrapped is None:
        return values
    model = Wrapped(api.wrapped, WORLD)
    return [
        value if value.reference.kind is not None or value.constant is not UNKNOWN else value.referring(wrapped=model)
        for value in values
    ]


def wrapper_of(frame: Frame, value: Value) -> Wrapped | None:
    """The wrapper of a model, also if its class is the program's own subclass of a wrapper class."""
    if value.reference.wrapped is not None:
        return value.reference.wrapped
    catalog = frame.context.catalog
    kind = value.reference.kind
    if kind is None and value.reference.instance is not None and value.reference.target is None:
        names = frame.context.program.outside(value.reference.instance)
        known = (catalog.class_of(name) for name in names)
        kind = next((name for name in known if name is not None and f"{name}.{CALL}" in catalog.apis), None)
    return wrapper(catalog, kind, WORLD, {})


def run_pass(
    frame: Frame, expr: Call, callee: Value, args: Sequence[Value], keywords: Mapping[str, Value]
) -> Wrapped | None:
    """Emit the event of calling a wrapped model, one of its methods, or `backward` on its output.

    Returns the wrapper if the call was a forward pass.
    """
    catalog, function = frame.context.catalog, expr.function
    receiver = callee.reference.receiver
    if callee.reference.target is None and isinstance(function, Attribute) and receiver is not None:
        name = function.name
        if name not in catalog.wrapper_methods:
            return None
        source = receiver.origin.passed
        if source is not None and name == BACKWARD:
            _emit(frame, expr, source, name)
        elif source is None and receiver.given_as is not None:
            _emit(frame, expr, Wrapped("", WORLD, given=receiver.given_as), name)
        return None
    found = wrapper_of(frame, callee) if callee.reference.target is None else None
    if found is not None:
        api = catalog.apis.get(f"{found.kind}.{CALL}")
        if api is None or api.turns is None:
            _emit(frame, expr, found, CALL)
        else:
            turns = ({**dict(zip(api.params[1:], args, strict=False)), **keywords}).get(api.turns)
            _emit_turns(frame, expr, found, turns)
    return found


def same_model(expr: Call, callee: Value, args: Sequence[Value]) -> Value | None:
    """The model that a call gives back as it was: `net.eval()`, `torch.compile(net)`; None for any other call."""
    receiver, target = callee.reference.receiver, callee.reference.target
    if receiver is not None and (target is None or target.kind == "external") and isinstance(expr.function, Attribute):
        return receiver if expr.function.name in _ITSELF and _is_model(receiver) else None
    if target is not None and target.name in _AROUND and args:
        function = args[0].reference.target
        return args[0] if _is_model(args[0]) or (function is not None and function.kind == "function") else None
    return None


def _is_model(value: Value) -> bool:
    return value.reference.wrapped is not None or value.reference.instance is not None


def _emit(frame: Frame, expr: Call, wrapped: Wrapped, method: str) -> None:
    if frame.group_destroyed:
        return
    if wrapped.given is not None:
        frame.emit(Deferred(wrapped.given, _site(frame, expr, method), method, frame.modes))
    elif (event := _event(frame, expr, wrapped, method)) is not None:
        frame.emit(event)


def _emit_turns(frame: Frame, expr: Call, wrapped: Wrapped, turns: Value | None) -> None:
    """Emit a loop of collectives that runs `turns` times, if that number may differ between ranks."""
    event = None if turns is None or frame.group_destroyed else _event(frame, expr, wrapped, CALL)
    if turns is not None and event is not None:
        trips = trips_of(frame, turns, turns.extent.uneven or turns.uniformity.causes, expr.span)
        if trips is not None:
            frame.emit(Repeat(make("loop", ("for",), (turns.symbol,)), (event,), trips))


def _event(frame: Frame, expr: Call, wrapped: Wrapped, method: str) -> Event | None:
    return pass_event(frame.context.catalog, wrapped, method, _site(frame, expr, method), (), frame.modes)


def _site(frame: Frame, expr: Call, method: str) -> CallSite:
    name = plain(expr.function) or method
    return CallSite(frame.path, frame.function.qualname, expr.span, frame.statement, name)


def pass_event(
    catalog: Catalog,
    wrapped: Wrapped,
    method: str,
    site: CallSite,
    chain: tuple[CallSite, ...],
    modes: frozenset[str],
) -> Event | None:
    """The event of a method of a wrapped model at `site`, inside of context managers with the names `modes`."""
    api = catalog.apis.get(f"{wrapped.kind}.{method}")
    if api is None and method == BACKWARD:
        api = catalog.apis.get(f"{BACKWARD}.{wrapped.kind}")
    if api is None or api.category != "implicit" or api.silent_in & modes or _is_off(api, wrapped):
        return None
    return Event(
        FORWARD if method == CALL else method,
        wrapped.group,
        False,
        site.path,
        site.function,
        site.span,
        site.statement,
        kind="implicit",
        chain=chain,
        why=api.why,
        api=api.name if api.only_with else "",
        confidence=min(sureness(api, modes), Confidence.MEDIUM if wrapped.asked else Confidence.HIGH),
    )


def _is_off(api: Api, wrapped: Wrapped) -> bool:
    """Whether the model was wrapped with an option that makes the call run no collective."""
    return any(condition in wrapped.options for condition in api.unless)


def sureness(api: Api, modes: frozenset[str]) -> Confidence:
    """The confidence that a call runs a collective inside the context managers `modes`."""
    if api.rare_in & modes:
        return Confidence.LOW
    return Confidence.HIGH if api.confidence is None else confidence_of(api.confidence)


def modes_of(frame: Frame, expr: Expr) -> frozenset[str]:
    """The name of a context manager or a decorator, where the catalogue says that it matters for collectives."""
    written = plain(expr.function if isinstance(expr, Call) else expr)
    name = (written or "").rpartition(".")[2]
    return frozenset({name}) & frame.context.catalog.modes


def asked_of(catalog: Catalog, names: Iterable[str]) -> Wrapped | None:
    """The wrapper that an `isinstance` test against these classes implies; None if none of them wraps models."""
    for name in names:
        kind = catalog.class_of(name)
        if kind is not None and f"{kind}.{CALL}" in catalog.apis:
            return Wrapped(kind, WORLD, asked=True)
    return None


def group_of(owner: Value, values: Mapping[str, Value]) -> Symbol:
    """The group that a model is wrapped for: from the arguments, else the default group."""
    group = values.get("process_group")
    if group is not None and group.constant is UNKNOWN and not group.reference.parts:
        return group.group_key
    given = [values[name] for name in ("process_group", "device_mesh") if name in values]
    own = any(value.constant is not None for value in given)
    return make("mesh", (), (owner.symbol,)) if own else WORLD


def passed_on(passed: Wrapped | None, arguments: Mapping[str, Value]) -> Wrapped | None:
    """The caller's wrapper of the model whose forward pass produced a callee's value."""
    if passed is None or passed.given is None:
        return passed
    argument = arguments.get(passed.given)
    if argument is None:
        return None
    if argument.given_as is not None and argument.reference.wrapped is None:
        return Wrapped("", WORLD, given=argument.given_as)
    return argument.reference.wrapped


def is_unmade(condition: Symbol) -> bool:
    """Whether a condition says that an attribute has not been set yet: `self._model is None`."""
    return condition.kind == "compare" and condition.head == ("is",) and condition.args[0].kind == "attribute"


def without_wrapping(term: Term, catalog: Catalog) -> Term:
    """A term without the calls that wrap models: where a model is wrapped already, none of them runs."""
    if not any(isinstance(item, Event) and item.kind == "implicit" for item in walk(term)):
        return term
    calls = catalog.of("implicit")
    wrapping = {api.op for api in calls if api.wrapped is not None or f"{api.name}.{CALL}" in catalog.apis}

    def kept(item: Item) -> Term:
        return () if isinstance(item, Event) and item.kind == "implicit" and item.op in wrapping else (item,)

    return map_term(term, kept)
