"""Call dispatch: catalogue model, program summary, or default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Name
from ...program.target import Target
from ..domain import symbol as symbols
from ..domain.flowing import flow, stamped
from ..domain.inlining import Inlining, inline
from ..domain.recognise import is_path
from ..domain.symbol import WORLD
from ..domain.value import Value
from ..domain.wrapped import Wrapped
from ..effects import CallSite, Deferred
from ..transfer.agreements import made_of_agreed
from ..transfer.binding import GUARD, axis_of, environment, guarding
from ..transfer.generators import is_share, own_length, streamed
from ..transfer.own_data import made_of, may_end_early
from .annotations import declared, declared_collective
from .catalog_calls import known
from .derived import methods_below
from .file_effects import note_use, tolerates
from .given_functions import run_given
from .iterators import iterating
from .library_calls import unknown
from .object_options import options_of
from .program_calls import invoke
from .wrapped_models import run_pass, same_model, wrapper

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..domain.causes import Cause
    from ..transfer.state import Frame

#: The type of what `super()` gives: its methods are those of the base, not overrides.
SUPER: Final = "super"
_SUPER: Final = symbols.operation("super")
#: More overrides than this, and a method name says too little to follow it.
_MOST_TARGETS: Final = 8


def apply(frame: Frame, expr: Call, callee: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
    """The result of a call whose parts have been evaluated, and its effect on the frame."""
    target = callee.reference.target
    if callee.reference.kind == GUARD:
        return callee
    annotation = frame.context.annotation(target) if target is not None else None
    if annotation is not None and annotation.kind == "collective":
        return declared_collective(frame, expr, annotation)
    note_use(frame, expr, callee, args, keywords)
    before = len(frame.out)
    made_by = run_pass(frame, expr, callee, args, keywords)
    found = _applied(frame, expr, callee, args, keywords)
    if len(frame.out) == before:
        values = (callee, *args, *keywords.values())
        found = made_of_agreed(frame, expr, made_of(frame, expr, found, values), values)
        found = iterating(frame, expr, callee, args, keywords, found)
    if made_by is not None:
        found = found.sourced(passed=made_by, own=found.origin.own or frame.cause("own data", expr.span))
    if frame.turns:
        elements = frozenset().union(*[value.origin.elements for value in (callee, *args, *keywords.values())])
        if not elements <= found.origin.elements:
            # What a call gives is made of its arguments, whatever it does with them.
            found = found.sourced(elements=found.origin.elements | elements)
    return found if annotation is None else declared(frame, found, annotation, expr.span)


def _applied(frame: Frame, expr: Call, callee: Value, args: list[Value], keywords: dict[str, Value]) -> Value:
    """The value of a call without an annotation."""
    target = callee.reference.target
    unchanged = same_model(expr, callee, args)
    if unchanged is not None:
        return unchanged
    if isinstance(expr.function, Name) and (target is None or target.kind == "external"):
        named = None
        if frame.context.catalog.known_names.get(expr.function.id) != []:
            named = frame.context.catalog.convention(expr.function.id, "guard")
        if named is not None and (target is None or target.name not in frame.context.catalog.apis):
            return guarding(frame, axis_of(named.axis), expr.span, one=True)
    if target is not None and target.name == "builtins.super" and not args:
        return _super(frame)
    if callee.reference.runs:
        site = CallSite(
            frame.path, frame.function.qualname, expr.span, frame.statement, plain(expr.function) or "lambda"
        )
        frame.extend(inline(callee.reference.runs, Inlining(site, {}, None, lambda *_: (), frame.function.span)))  # type: ignore[arg-type]  # a term
        return Value(frame.fresh("result", expr.span))
    if target is not None and target.kind == "external":
        if target.name in frame.context.catalog.fallible and not tolerates(keywords):
            frame.fails(frame.cause("exception", expr.span))
        if target.name in frame.context.catalog.callers and expr.args:
            inner = Call(expr.args[0], expr.args[1:], expr.keywords, expr.spread, expr.span)
            return apply(frame, inner, args[0], args[1:], keywords)
        if target.name in frame.context.catalog.wrappers and args:
            return args[0].referring(target=None, receiver=None)
        if target.name == "functools.partial" and args and _is_own(args[0]):
            return args[0]
        api = frame.context.catalog.apis.get(target.name)
        if api is not None:
            if api.runs is not None:
                is_method = callee.reference.receiver is not None
                run_given(frame, expr, api, args, keywords, apply, bound=is_method)
            return known(frame, expr, api, callee, args, keywords)
        made_of = frame.context.catalog.class_of(target.name)
        if made_of is not None:
            own = target.name in frame.context.catalog.temporary
            if target.name.startswith("pathlib."):
                # Paths made of the same parts are the same path.
                same = symbols.call(callee.symbol, [value.symbol for value in args])
                return stamped(flow(same, args, ranks=False), args).referring(kind=made_of)
            wrapped = wrapper(frame.context.catalog, made_of, WORLD, keywords)
            made = Value(frame.fresh(target.name, expr.span)).referring(kind=made_of, wrapped=wrapped)
            made = made.sourced(ranked=own)
            return made.sized(uneven=_shared(frame, target.name, args, keywords))
        if target.name in frame.context.catalog.readers and args:
            return environment(frame, args[0], symbols.call(callee.symbol, (args[0].symbol,)), expr.span)
    if target is None and isinstance(expr.function, Attribute) and callee.reference.receiver is not None:
        if _may_fail(frame, callee.reference.receiver, expr.function.name) and not tolerates(keywords):
            frame.fails(frame.cause("exception", expr.span))
        # Methods of names that only one kind of object has.
        api = frame.context.catalog.apis.get(f"methods.{expr.function.name}")
        if api is not None:
            return known(frame, expr, api, callee, args, keywords)
    if target is not None and target.kind == "class":
        made = Value(frame.fresh(target.name, expr.span)).referring(instance=target)
        constructor = frame.context.program.method(target, "__init__")
        if constructor is not None:
            invoke(frame, [constructor], made.referring(receiver=made), expr, args, keywords)
            made = made.referring(options=options_of(frame, constructor, made, expr, args, keywords))
        return made
    if target is not None and target.kind == "function" and _is_applied(expr, target):
        context = Value(frame.fresh("context", expr.span))
        return invoke(frame, [target], callee, expr, [context, *args], keywords)
    if target is not None and target.kind == "function":
        _inherited(frame, expr, callee, args, keywords)
        targets = [target]
        if (
            callee.reference.receiver is not None
            and callee.reference.receiver.reference.instance is not None
            and callee.reference.receiver.reference.kind != SUPER
        ):
            name = target.name.rpartition(".")[2]
            targets = frame.context.program.methods(callee.reference.receiver.reference.instance, name) or targets
        elif callee.reference.receiver is not None and callee.reference.receiver.reference.kind not in (None, SUPER):
            name = target.name.rpartition(".")[2]
            targets = methods_below(frame, callee.reference.receiver.reference.kind or "", name) or targets
        return invoke(frame, _likely(targets), callee, expr, args, keywords)
    if callee.reference.instance is not None and target is None and callee.reference.receiver is None:
        called = _called(frame, callee.reference.instance)
        if called:
            bound = callee.referring(receiver=callee)
            return invoke(frame, _likely(called), bound, expr, args, keywords)
    if callee.given_as is not None:
        name = plain(expr.function) or callee.given_as
        site = CallSite(frame.path, frame.function.qualname, expr.span, frame.statement, name)
        frame.emit(Deferred(callee.given_as, site, modes=frame.modes))
        model = Wrapped("", WORLD, given=callee.given_as)
        return unknown(frame, expr, callee, [*args, *keywords.values()]).sourced(passed=model)
    return unknown(frame, expr, callee, [*args, *keywords.values()])


def _is_applied(expr: Call, target: Target) -> bool:
    """Whether it is `Gather.apply(x)`, which runs `Gather.forward(context, x)`."""
    named = isinstance(expr.function, Attribute) and expr.function.name == "apply"
    return named and target.name.rpartition(".")[2] == "forward"


def _shared(frame: Frame, name: str, args: Sequence[Value], keywords: Mapping[str, Value]) -> tuple[Cause, ...]:
    """The causes for a `DataLoader` having more batches on some ranks: its data set is a larger share there."""
    items = args[0] if args else keywords.get("dataset")
    if items is None or not name.endswith("DataLoader"):
        return ()
    uneven = own_length(frame, items)
    if is_share(uneven):
        return uneven
    return streamed(frame, items) if may_end_early(frame, None) else ()


def _may_fail(frame: Frame, receiver: Value, name: str) -> bool:
    """Whether a method of a path depends on this rank's disk."""
    return is_path(receiver) and f"{receiver.reference.kind}.{name}" in frame.context.catalog.fallible


def _inherited(frame: Frame, expr: Call, callee: Value, args: list[Value], keywords: dict[str, Value]) -> None:
    """Also run the wrapping library method that a method overrides: a metric's `compute` gathers first."""
    instance = (
        callee.reference.receiver.reference.instance
        if callee.reference.receiver is not None and callee.reference.receiver.reference.kind != SUPER
        else None
    )
    if instance is None or callee.reference.target is None:
        return
    catalog = frame.context.catalog
    for name in frame.context.program.outside(instance):
        api = catalog.apis.get(f"{catalog.class_of(name)}.{callee.reference.target.name.rpartition('.')[2]}")
        if api is not None and api.kind == "wrapped":
            known(frame, expr, api, callee, args, keywords)


def _likely(targets: list[Target]) -> list[Target]:
    """The methods to follow; if there are too many overrides, only the one of the class itself."""
    return targets if len(targets) <= _MOST_TARGETS else targets[:1]


def _is_own(value: Value) -> bool:
    """Whether it is a function of the program; for others the arguments bound by `partial` would be lost."""
    return value.reference.target is not None and value.reference.target.kind == "function"


def _called(frame: Frame, instance: Target) -> list[Target]:
    """What calling an object runs: `__call__`, which in a module is `forward`."""
    program = frame.context.program
    return program.methods(instance, "__call__") or program.methods(instance, "forward")


def _super(frame: Frame) -> Value:
    """`super()`: this object, seen as one of the base class."""
    function = frame.function
    if function.owner is None or not function.params:
        return Value(_SUPER)
    program = frame.context.program
    bases = list(program.bases(Target("class", function.path, function.owner)))[1:]
    if not bases:
        return Value(_SUPER)
    return Value(symbols.parameter(function.params[0].name)).referring(instance=bases[0], kind=SUPER)
