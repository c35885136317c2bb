"""What a signature says about a parameter, before any call is seen, and about the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Constant, Name, Parameter
from ...program.target import Target
from ..calls.wrapped_models import wrapper
from ..domain import symbol as symbols
from ..domain.symbol import WORLD
from ..domain.value import Value
from .annotated import annotated_target
from .binding import conventional
from .group_names import is_otherwise

if TYPE_CHECKING:
    from .state import Frame


def parameter_value(frame: Frame, parameter: Parameter, *, first: bool) -> Value:
    """What is known of a parameter before any call is seen: its class, its annotation, its name."""
    symbol = symbols.parameter(parameter.name)
    plain_value = Value(symbol).varying(depends=frozenset({parameter.name}))
    function = frame.function
    if first and function.owner is not None:
        owner = Target("class", function.path, function.owner)
        if any(plain(decorator) == "classmethod" for decorator in function.decorators):
            return Value(symbols.global_name(function.path, function.owner)).referring(target=owner)
        return plain_value.varying(depends=frozenset()).referring(instance=owner)
    if parameter.annotation is not None:
        annotated = annotated_target(frame, parameter.annotation)
        if annotated is not None and annotated.kind == "class":
            return plain_value.referring(instance=annotated)
        known = frame.context.catalog.class_of(annotated.name) if annotated is not None else None
        if known is not None:
            catalog = frame.context.catalog
            wrapped = wrapper(catalog, known, WORLD, {})
            return plain_value.referring(kind=known, meaning=catalog.classes.get(known), wrapped=wrapped)
    # Nearly no name has a meaning.
    known_name = frame.context.catalog.known_names.get(parameter.name) != []
    for meaning in ("rank", "group", "object") if known_name else ():
        optional = parameter.default == Constant(None)
        convention = frame.context.catalog.convention(parameter.name, meaning, optional=optional)
        named = convention is not None and meaning == "group"
        if named and is_otherwise(frame, parameter.name, parameter.annotation, parameter.default):
            continue
        if convention is not None and meaning == "object":
            meaning_of = frame.context.catalog.classes.get(convention.type or "")
            return plain_value.referring(kind=convention.type, meaning=meaning_of)
        if convention is not None:
            value = conventional(frame, meaning, convention.axis, symbol, Name(parameter.name))
            return value.varying(depends=plain_value.uniformity.depends)
    return plain_value


def declared_result(frame: Frame, value: Value | None) -> Value | None:
    """The result of a function, with the class that its signature declares if nothing else is known."""
    annotation = frame.function.returns
    if annotation is None or (
        value is not None
        and (value.reference.instance or value.reference.kind or value.reference.meaning or value.reference.target)
    ):
        return value
    declared = annotated_target(frame, annotation)
    if declared is None or declared.kind != "class":
        return value
    return value or Value(frame.fresh("result", frame.function.span)).referring(instance=declared)
