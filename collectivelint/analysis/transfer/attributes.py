"""Attributes: members of modules and classes, properties, and conventional names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Attribute, Call, Expr, Name
from ...program.target import Target
from ..calls.catalog_calls import known as call_known
from ..calls.derived import methods_below
from ..calls.dispatch import SUPER
from ..calls.own_failures import note_nothing
from ..calls.program_calls import invoke
from ..domain import symbol as symbols
from ..domain.flowing import flow, of_shape
from ..domain.kept import renamed
from ..domain.recognise import is_path
from ..domain.symbol import WORLD, Symbol, attribute, operation, rank_in
from ..domain.value import UNKNOWN, Value
from .binding import GUARD, conventional, environment, guarding
from .changes import SELF
from .group_names import is_otherwise
from .names import refer

if TYPE_CHECKING:
    from ...catalog.model import Api
    from .state import Frame

#: Attributes of attributes that an object which knows ranks is reached by: `self.trainer.strategy.rank`.
_MOST_PARTS: Final = 2


def attribute_of(frame: Frame, expr: Attribute, path: str | None, base: Value) -> Value:
    """The attribute of a value; `path` is the dotted name that it is written as, if it is one."""
    context = frame.context
    symbol = attribute(base.symbol, expr.name)
    note_nothing(frame, base)
    if base.reference.target is not None and base.reference.target.kind in ("module", "class", "external"):
        target = context.program.member(base.reference.target, expr.name)
        made = _of_environment(frame, base.reference.target, expr.name, symbol)
        if made is not None and (target is None or target.kind == "variable"):
            return made
        if target is None:
            applied = _applied(frame, base.reference.target, expr.name)
            return Value(symbol) if applied is None else Value(symbol).referring(target=applied)
        api = context.catalog.apis.get(target.name) if target.kind == "external" else None
        return refer(frame, target) if api is None or api.kind != "property" else property_of(frame, api, target, base)
    if base.reference.wrapped is not None:
        api = context.catalog.apis.get(f"{base.reference.wrapped.kind}.{expr.name}")
        if api is not None and api.kind == "part":
            return Value(symbol).referring(wrapped=base.reference.wrapped)
    if base.reference.instance is not None:
        method = context.program.method(base.reference.instance, expr.name)
        if method is not None:
            bound = Value(symbol).referring(target=method, receiver=base)
            function = context.signature(method)
            if function is not None and any(_is_property(item) for item in function.decorators):
                return invoke(frame, [method], bound, Call(expr, (), (), False, function.span), [], {})
            return bound
        known = context.attribute(base.reference.instance, expr.name)
        if known is not None:
            # Another object's attribute keeps its own name: `self.manager.group`, `manager.group`.
            params = frame.function.params[:1] if frame.function.owner is not None else ()
            own = any(base.symbol.parameter == parameter.name for parameter in params)
            if known.symbol.root == SELF and known.symbol.parameter is None:
                known = known if own else known.but(symbol=known.symbol.substitute({SELF: base.symbol}))
                known = known if own else renamed(known, {SELF: base.symbol})
            elif known.constant is UNKNOWN:
                known = known.but(symbol=known.symbol if known.uniformity.varies or known.symbol is WORLD else symbol)
            return known.varying(depends=frozenset())
        library = context.program.outside(base.reference.instance)
        inherited = next((kind for name in library if (kind := context.catalog.class_of(name)) is not None), None)
        if inherited is not None and f"{inherited}.{expr.name}" in context.catalog.apis:
            return _of_type(frame, expr, base.referring(kind=inherited), symbol)
    kind = base.reference.kind
    # What a path has is what the catalogue says of methods of anything.
    if kind is not None and kind not in ("rank", GUARD, SUPER) and not is_path(base):
        return _of_type(frame, expr, base, symbol)
    for meaning in () if _says_nothing(frame, expr.name) else ("rank", "group", "guard", "object"):
        # What a class keeps to itself has the same name: `_rank` behind the property `rank`.
        name = expr.name.lstrip("_") if meaning == "rank" else expr.name
        convention = context.catalog.convention(name, meaning)
        if convention is not None and base.reference.target is None:
            if meaning == "group" and path is not None and is_otherwise(frame, path):
                continue
            if meaning == "rank" and _depth(expr.value) > _MOST_PARTS:
                # What lies deep in a configuration is one of its numbers: `self.cfg.model.lora.rank`.
                continue
            if meaning == "object":
                meaning_of = context.catalog.classes.get(convention.type or "")
                return Value(symbol).referring(kind=convention.type, meaning=meaning_of, receiver=base)
            return conventional(frame, convention.meaning, convention.axis, symbol, expr)
    if expr.name in context.catalog.metadata:
        base = of_shape(base)
    found = flow(symbol, (base,), ranks=expr.name not in context.catalog.kinds)
    if expr.name == "shape" and base.extent.uneven:
        found = found.varying(
            varies=found.uniformity.varies | {WORLD}, causes=(*base.extent.uneven, *found.uniformity.causes)[:3]
        )
    return found.referring(receiver=base)


def _of_environment(frame: Frame, module: Target, name: str, symbol: Symbol) -> Value | None:
    """The value that a module's `__getattr__` returns for an environment variable with a rank or world size."""
    catalog = frame.context.catalog
    if module.kind != "module" or (name not in catalog.environment and name not in catalog.sizes):
        return None
    if "__getattr__" not in frame.context.program.functions(module.path):
        return None
    return environment(frame, Value(symbols.constant(name), constant=name), symbol, frame.statement)


def _applied(frame: Frame, owner: Target, name: str) -> Target | None:
    """The `forward` method that `apply` calls, for a class of the program with a base such as `autograd.Function`."""
    program, methods = frame.context.program, frame.context.catalog.applied
    if owner.kind != "class" or name != "apply":
        return None
    outside = {f"{base}.forward" for base in program.outside(owner)}
    return None if outside.isdisjoint(methods) else program.method(owner, "forward")


def _says_nothing(frame: Frame, name: str) -> bool:
    """Whether no naming convention applies to an attribute of this name, as for most names."""
    known = frame.context.catalog.known_names
    return known.get(name) == [] and (name[:1] != "_" or known.get(name.lstrip("_")) == [])


def _of_type(frame: Frame, expr: Attribute, base: Value, symbol: Symbol) -> Value:
    """An attribute of an object whose class the catalogue knows."""
    target = Target("external", "", f"{base.reference.kind}.{expr.name}")
    api = frame.context.catalog.apis.get(target.name)
    if api is not None and api.kind == "part":
        return Value(symbol).referring(kind=api.returns)
    if api is not None and api.kind == "property" and api.category == "implicit":
        reading = Call(expr, (), (), False, frame.statement)
        return call_known(frame, reading, api, Value(symbol).referring(receiver=base), [], {})
    below = methods_below(frame, base.reference.kind or "", expr.name) if api is None else []
    if below:
        return Value(symbol).referring(target=below[0], receiver=base)
    if api is None or api.params != ("self",):
        return Value(symbol).referring(target=target, receiver=base)
    if api.kind != "property" and (
        api.category not in ("guard", "rank_source") or (api.category == "rank_source" and api.axis is None)
    ):
        return Value(symbol).referring(target=target, receiver=base)
    return property_of(frame, api, target, base)


def property_of(frame: Frame, api: Api, target: Target, base: Value) -> Value:
    """The value of a property; for a rank or a guard, the same value also stands for a method to be called."""
    span = frame.statement
    own = base.group_key if api.roles.get("group") == "self" else None
    axis = symbols.name(api.axis) if api.axis else own or WORLD
    match api.category:
        case "guard":
            return guarding(frame, axis, span, one=api.one, other=None if api.kind == "property" else api.kind)
        case "uniform_source":
            return Value(operation(api.op, (axis,))).sized(size_of=axis)
        case "group_accessor":
            return base.referring(kind=api.returns, meaning=frame.context.catalog.classes.get(api.returns or ""))
    symbol = rank_in(axis) if axis is WORLD or api.operation == "rank" else operation(api.op, (axis,))
    return (
        Value(symbol)
        .varying(varies=frozenset({axis}), causes=(frame.cause("rank", span),))
        .referring(kind="rank", target=target, receiver=base)
    )


def _depth(expr: Expr) -> int:
    """The number of nested attribute accesses in an expression."""
    return 1 + _depth(expr.value) if isinstance(expr, Attribute) else 0


def _is_property(decorator: Expr) -> bool:
    match decorator:
        case Name(id="property"):
            return True
        case Attribute(name="cached_property") | Name(id="cached_property"):
            return True
        case _:
            return False
