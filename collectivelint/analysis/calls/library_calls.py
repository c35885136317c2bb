"""Calls outside the program and the catalogue: builtins, methods of unknown objects, functions of other libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Attribute, Call
from ..domain import symbol as symbols
from ..domain.alternatives import ANYTHING, appended, either
from ..domain.causes import Cause, Length, Sharded
from ..domain.flowing import carries, each, flow, holding, of_shape, stamped
from ..domain.multiples import bounded, factors, fills_up, padded
from ..domain.recognise import ADDING, is_list, is_path
from ..domain.sharding import is_sharding_test
from ..domain.symbol import WORLD, Symbol
from ..domain.value import Value
from ..transfer.binding import bind
from ..transfer.changes import deciding, filled
from .averages import DIVIDING, divided
from .meetings import meet
from .own_failures import note_empty
from .seeds import seed
from .sharding_tests import asked_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..transfer.state import Frame

#: Builtins whose result differs between ranks exactly as their arguments do.
_PURE: Final = frozenset(
    f"builtins.{name}"
    for name in [
        "abs",
        "bool",
        "float",
        "int",
        "len",
        "list",
        "max",
        "min",
        "set",
        "sorted",
        "str",
        "sum",
        "tuple",
        "any",
        "all",
        "frozenset",
        "enumerate",
        "zip",
        "reversed",
        "range",
    ]
)


def unknown(frame: Frame, expr: Call, callee: Value, values: list[Value]) -> Value:
    """An unmodelled call: provenance flows from arguments to result, rank variance only through pure builtins."""
    symbol = symbols.call(callee.symbol, [value.symbol for value in values])
    if callee.reference.target is not None and callee.reference.target.name in _PURE:
        return _pure(frame, expr, callee.reference.target.name.removeprefix("builtins."), symbol, values)
    _note_handed(frame, values)
    if frame.context.explaining and callee.reference.target is None:
        unresolved = (plain(expr.function) or "a computed function", expr.span)
        if unresolved not in frame.facts.unresolved:
            frame.facts.unresolved.append(unresolved)
    if callee.reference.receiver is not None and isinstance(expr.function, Attribute):
        return _method(frame, expr, expr.function.name, symbol, callee, values)
    asked = None if callee.reference.target is None else asked_of(frame, callee.reference.target.name, values)
    found = flow(symbol if asked is None else asked, values, ranks=False)
    if callee.reference.target is None:
        return found if found.origin.sharded is None else found.sourced(sharded=None)
    return _external(frame, expr, callee.reference.target.name, found, values)


def _note_handed(frame: Frame, values: Iterable[Value]) -> None:
    """Record the functions of the program that are passed to unmodelled code, which may call them."""
    for value in values:
        target, runs = value.reference.target, value.reference.runs
        found: object = runs or (target if target is not None and target.kind == "function" else None)
        if found and found not in frame.facts.handed:
            frame.facts.handed.append(found)  # type: ignore[arg-type]  # a term


def _external(frame: Frame, expr: Call, name: str, found: Value, values: list[Value]) -> Value:
    """The result of a library function; `found` is the default result of an unmodelled call."""
    catalog = frame.context.catalog
    if found.origin.sharded is not None and not name.startswith(_COPYING):
        # It may well gather the parts.
        found = found.sourced(sharded=None)
    if name.startswith("os.path."):
        return stamped(found, values)
    if name in catalog.seeds:
        seed(frame, values, expr.span)
        return found
    if name in catalog.local_states:
        return found.sourced(sharded=Sharded("own", frame.cause("process", expr.span)))
    if name.endswith(_SPLITS) and len(values) > 1:
        return found.sized(whole=factors(values[1].symbol, frame.variables))
    share = share_of(values)
    if share is not None:
        if name in catalog.parameters:
            frame.note("share", expr.span, (share.cause,))
        return found.sized(length=share)
    if name in catalog.tensors and values:
        uneven = [part.extent.uneven for part in (values[0], *values[0].reference.parts) if part.extent.uneven]
        return found.sized(uneven[0] if uneven else (), length=values[0].extent.length)
    if name in catalog.buffers and values and not any(value.origin.origins for value in values):
        return found.sized(length=Length("made", frame.cause("data", expr.span)), size_of=_size_of(values[0]))
    return found


def _size_of(shape: Value) -> Symbol | None:
    """The group whose size the first dimension of a shape equals or is a multiple of."""
    first = shape.reference.parts[0] if shape.reference.parts else shape
    return first.extent.size_of


#: Functions and methods that make as many parts as they are told.
_SPLITS: Final = ("tensor_split", "array_split")
#: Modules whose functions give back what they were given, or something made of the same parts.
_COPYING: Final = ("builtins.", "copy.", "collections.", "torch.optim.")


def share_of(values: Iterable[Value]) -> Length | None:
    """The length of the first of the values that is one rank's share of a whole."""
    return next(
        (
            value.extent.length
            for value in values
            if value.extent.length is not None and value.extent.length.kind == "share"
        ),
        None,
    )


def _pure(frame: Frame, expr: Call, name: str, symbol: Symbol, values: list[Value]) -> Value:
    """The result of a pure builtin, computed from its arguments alone."""
    found = flow(symbol, values)
    first = values[0] if values else Value(symbol)
    if name in ("min", "max") and len(values) == 1 and not expr.keywords:
        note_empty(frame, first)
    match name:
        case "int" | "bool" if len(values) == 1:
            kept = (
                found.but(symbol=first.symbol)
                .varying(one=first.uniformity.one)
                .sized(size_of=first.extent.size_of, length=share_of(values))
            )
            return kept.referring(kind=first.reference.kind) if name == "int" else kept
        case "max" if len(values) == 1 and (cause := _of_disk(first)) is not None:
            return found.sized(length=Length("highest", cause))
        case "any" if first.symbol.kind == "comprehension" and is_sharding_test(first.symbol.args[0]):
            return found.but(symbol=first.symbol.args[0])
        case "min" | "max":
            return found.sized(length=share_of(values))
        case "len" if first.extent.uneven:
            return found.varying(
                varies=found.uniformity.varies | {WORLD}, causes=(*first.extent.uneven, *found.uniformity.causes)[:3]
            )
        case "len" if first.reference.parts or is_list(first.written) or first.written.head == ("Tuple",):
            # How many there are is not what is in them.
            return found.sourced(origins=()).varying(varies=frozenset(), causes=()).sized(size_of=first.extent.size_of)
        case "len":
            return found.sized(size_of=first.extent.size_of)
        case "set" | "frozenset":
            # One element has only one order.
            unordered = frame.cause("data", expr.span) if len(first.reference.parts) != 1 else None
            return found.sized(uneven=first.extent.uneven, unordered=unordered).referring(item=first.reference.item)
        case "sorted":
            return found.sized(uneven=first.extent.uneven, whole=first.extent.whole).referring(
                item=first.reference.item
            )
        case "list" | "tuple" | "enumerate" | "zip" | "reversed":
            unordered = next((value.extent.unordered for value in values if value.extent.unordered), None)
            uneven = next((value.extent.uneven for value in values if value.extent.uneven), ())
            whole = first.extent.whole
            found = found.sized(uneven=uneven, unordered=unordered, size_of=first.extent.size_of, whole=whole)
            if name in ("enumerate", "zip"):
                numbered = [_NUMBER, *values[:1]] if name == "enumerate" else values
                turn = tuple(value if value is _NUMBER else each(value, _element(value.symbol)) for value in numbered)
                known = any(part.reference.instance or carries(part) for part in turn)
                return found.referring(item=Value(_element(symbol)).referring(parts=turn)) if known else found
            return found.referring(parts=first.reference.parts, item=first.reference.item)
        case "range" if len(values) == 3 and values[2].symbol in factors(values[1].symbol, frame.variables):
            return found
        case "range":
            # One bound that differs makes another number of turns; two may only shift them.
            bounds = [value for value in values[:2] if value.uniformity.varies or value.extent.uneven]
            step = len(values) > 2 and bool(values[2].uniformity.varies)
            decides = len(bounds) == 1 or (bounds and step)
            uneven = (bounds[0].uniformity.causes or bounds[0].extent.uneven) if decides else ()
            # Data that decides how often a loop turns says nothing about what is made in it.
            found = found.sourced(origins=())
            if len(values) != 1:
                return found.sized(uneven=uneven)
            return found.sized(uneven, size_of=first.extent.size_of, whole=factors(first.symbol, frame.variables))
        case _:
            return found


#: What `enumerate` puts before each element.
_NUMBER: Final = Value(symbols.name("number"))


def _element(container: Symbol) -> Symbol:
    """Any element of a container."""
    return symbols.operation("each", (container,))


def _of_disk(value: Value) -> Cause | None:
    """The cause if the contents of a container come from the file system; else None."""
    return next(
        (cause for cause in (*value.extent.uneven, *value.uniformity.causes) if cause.kind == "file system"), None
    )


#: Methods of tensors and containers that say how many elements there are.
_SIZES: Final = frozenset({"numel", "nelement", "size", "__len__", "dim"})
#: Methods of models that give all their parameters.
_PARTS: Final = frozenset({"state_dict", "parameters", "named_parameters"})
#: Methods that make a text, or a path, of their arguments.
_TEXTS: Final = frozenset(
    {"strftime", "isoformat", "timestamp", "format", "join", "joinpath", "replace", "strip", "with_name", "with_suffix"}
)
_SETS: Final = frozenset({"union", "difference", "intersection", "symmetric_difference", "copy"})


def _method(frame: Frame, expr: Call, name: str, symbol: Symbol, callee: Value, values: list[Value]) -> Value:
    """A method of a value nothing is known about: `flag.item()` varies as `flag` does."""
    assert callee.reference.receiver is not None
    receiver = callee.reference.receiver
    varies, causes = callee.uniformity.varies, callee.uniformity.causes
    methods = frame.context.catalog.methods
    kind = methods.get(name) or (methods.get(f"{receiver.reference.kind}.{name}") if is_path(receiver) else None)
    if kind is not None:
        varies, causes = varies | {WORLD}, (frame.cause(kind, expr.span), *causes)[:3]
    if name == "wait":
        for group in frame.awaited:
            meet(frame, group)
        frame.awaited.clear()
    if name in frame.context.catalog.metadata:
        callee = of_shape(callee)
    if name in _SIZES:
        # The shards that ranks pick by their number are equally large, unless something says otherwise.
        varies, causes = frozenset(), ()
    if name in _SIZES and receiver.extent.uneven:
        varies, causes = varies | {WORLD}, (*receiver.extent.uneven, *causes)[:3]
    if name in ADDING and isinstance(expr.function, Attribute) and deciding(frame, certain=True) is not None:
        # Filled on some ranks only; not so where that is a matter of the configuration, too.
        short = bounded(frame.conditions[-1], frame.variables) if frame.conditions else None
        if short is not None and short[0] is receiver.symbol and short[1]:
            # Where it was too short: afterwards it is as long as elsewhere.
            bind(frame, expr.function.value, receiver.sized(uneven=()))
        else:
            filled(frame, expr.function.value, receiver)
    if name in ("append", "add") and isinstance(expr.function, Attribute) and (item := holding(values)) is not None:
        bind(frame, expr.function.value, receiver.referring(item=either(receiver.reference.item, item)))
    if name == "extend" and len(values) == 1 and isinstance(expr.function, Attribute):
        receiver = receiver.sized(whole=padded(receiver, values[0], frame.variables))
        bind(frame, expr.function.value, receiver.sized(uneven=()) if fills_up(receiver, values[0]) else receiver)
    if name in ADDING | {"insert"} and is_list(receiver.written) and isinstance(expr.function, Attribute):
        variable = plain(expr.function.value) or ""
        element = values[0] if name == "append" and len(values) == 1 else ANYTHING
        if variable in frame.variables:
            frame.variables[variable] = appended(frame.variables[variable], element)
    found = flow(symbol, (callee, *values), ranks=False).varying(varies=varies, causes=causes)
    if name in DIVIDING and len(values) == 1:
        found = divided(frame, expr.span, receiver, values[0], found)
        if name.endswith("_") and isinstance(expr.function, Attribute):
            bind(frame, expr.function.value, receiver.but(origin=found.origin))
    if name in frame.context.catalog.buffers and values:
        found = found.sized(size_of=_size_of(values[0]))
    if name in _TEXTS:
        found = stamped(found, (callee, *values))
    if name == "values":
        found = found.referring(item=receiver.reference.item)
    elif name == "items" and receiver.reference.item is not None:
        pair = (Value(symbols.name("key")), each(receiver, _element(receiver.symbol)))
        found = found.referring(item=Value(_element(symbol)).referring(parts=pair))
    kept = (
        () if name in _SIZES or name in ("item", "sum", "mean", "any", "all", "max", "min") else receiver.extent.uneven
    )
    if receiver.extent.length is not None and name not in _SIZES:
        found = found.sized(length=receiver.extent.length)
    found = found.sized(uneven=kept, unordered=receiver.extent.unordered if name in _SETS else None)
    if name in _SPLITS and values:
        return found.sized(whole=factors(values[0].symbol, frame.variables))
    if kind == "file system":
        found = found.sized(uneven=(causes[0],))
    if name in _PARTS and receiver.reference.instance is not None:
        cause = frame.context.shared_out(receiver.reference.instance)
        found = found if cause is None else found.sourced(sharded=Sharded("hand", cause))
    if name.endswith("_") and not name.startswith("_") and receiver.extent.length is None:
        frame.note("in place", expr.span, (), expr.function)
    return found
