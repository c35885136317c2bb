"""Provenance: what a value computed from others inherits from them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from .causes import merged
from .origin import MADE_HERE, Origin
from .uniformity import UNIFORM, carried
from .value import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .causes import Agreed, Cause, Sharded
    from .symbol import Symbol
    from .wrapped import Wrapped


def flow(symbol: Symbol, values: Iterable[Value], *, ranks: bool = True) -> Value:
    """A new value computed from `values`: it inherits their provenance and, with `ranks`, their rank variance."""
    known = [value for value in values if value.uniformity is not UNIFORM or value.origin is not MADE_HERE]
    if not known:
        return Value(symbol)
    uniformity = carried([value.uniformity for value in known]) if ranks else UNIFORM
    origins: tuple[Cause, ...] = ()
    sharded: Sharded | None = None
    ranked = False
    elements: frozenset[str] = frozenset()
    summed: Symbol | None = None
    averaged: Symbol | None = None
    several_sums = several_averages = False
    own: Cause | None = None
    agreed: Agreed | None = None
    passed: Wrapped | None = None
    stamps: tuple[Cause, ...] = ()
    for value in known:
        origin = value.origin
        origins = merged(origins, origin.origins)
        sharded = sharded or origin.sharded
        elements = elements | origin.elements if origin.elements else elements
        own = own or origin.own
        agreed = agreed or origin.agreed
        passed = origin.passed if passed is None else passed
        stamps = merged(stamps, origin.stamps) if ranks else stamps
        if origin.summed is not None:
            # Of one group only, where all that say one speak of it.
            several_sums |= summed is not None and summed is not origin.summed
            summed = origin.summed
        if origin.averaged is not None:
            several_averages |= averaged is not None and averaged is not origin.averaged
            averaged = origin.averaged
        if not ranked:
            ranked = origin.ranked
            for cause in value.uniformity.causes:
                ranked |= cause.kind == "rank"
    summed = None if several_sums else summed
    averaged = None if several_averages else averaged
    if (
        not origins
        and sharded is None
        and not ranked
        and not elements
        and own is None
        and agreed is None
        and passed is None
        and not stamps
        and averaged is None
    ):
        return Value(symbol, uniformity)
    origin = Origin(origins, False, sharded, ranked, elements, own, passed, stamps, summed, averaged, agreed)
    return Value(symbol, uniformity, origin=origin)


def stamped(found: Value, values: Sequence[Value]) -> Value:
    """A text computed from `values`, with the clock readings that they contain."""
    stamps = found.origin.stamps
    for value in () if any(map(is_of_day, values)) else values:
        stamps = merged(stamps, value.origin.stamps)
    return found if stamps == found.origin.stamps else found.sourced(stamps=stamps)


def is_of_day(value: Value) -> bool:
    """Whether it is a date format without time: ranks that start together give the same text, except at midnight."""
    codes = set(_CODE.findall(value.constant)) if isinstance(value.constant, str) else set()
    return codes <= _OF_DATES and not codes.isdisjoint("YymbB")


_CODE: Final = re.compile(r"%[-#]?([A-Za-z])")
_OF_DATES: Final = frozenset("YymdjBbAaUWVGgu")


def of_shape(value: Value) -> Value:
    """The value as a shape, without data of other ranks: receiving into a buffer does not change its size."""
    origins = value.origin.origins
    value = value if value.origin.own is None else value.sourced(own=None)
    if not any(cause.kind == "received" for cause in origins):
        return value
    return value.sourced(origins=tuple(cause for cause in origins if cause.kind != "received"))


def carries(value: Value) -> bool:
    """Whether a value carries provenance: it varies, depends on parameters, or has received or restored data."""
    return bool(value.uniformity.varies or value.uniformity.depends or value.origin.origins)


def each(value: Value, symbol: Symbol) -> Value:
    """An element of a container, or what a loop over it binds."""
    found = flow(symbol, (value,))
    known = value.reference.item
    if known is None:
        return found
    item = known.reference
    return found.referring(instance=item.instance, parts=item.parts, item=item.item, wrapped=item.wrapped)


def holding(values: Iterable[Value]) -> Value | None:
    """The common element of a container if all are objects of one class, or models with the same wrapper; else None."""
    every = list(values)
    first = every[0].reference if every else None
    if first is None or (first.instance is None and first.wrapped is None):
        return None
    alike = all(
        value.reference.instance == first.instance and value.reference.wrapped == first.wrapped for value in every
    )
    return every[0] if alike else None
