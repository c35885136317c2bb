"""Groups kept in an object's attributes: a method's parameters renamed to the attributes that hold them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .symbol import attribute, parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .symbol import Symbol
    from .value import Value


def kept_under(value: Value, attributes: Mapping[str, Value], own: str) -> Value:
    """The value a method keeps in `own`, with groups that its `attributes` also hold renamed to these attributes."""
    if not any(group.parameters for group in _groups(value)):
        return value
    names = {own: parameter(own)}
    for name, held in attributes.items():
        if (given := held.symbol.parameter) is not None:
            names.setdefault(given, attribute(names[own], name))
    return renamed(value, names)


def renamed(value: Value, names: Mapping[str, Symbol]) -> Value:
    """The value with renamed groups (those it varies over or is the size of), where all their parameters have names."""
    if not any(group.parameters for group in _groups(value)):
        return value

    def named(group: Symbol) -> Symbol:
        return group.substitute(names) if group.parameters <= names.keys() else group

    size, index = value.extent.size_of, value.extent.index_of
    return value.varying(varies=frozenset(map(named, value.uniformity.varies))).sized(
        size_of=None if size is None else named(size), index_of=None if index is None else named(index)
    )


def _groups(value: Value) -> list[Symbol]:
    extent = value.extent
    return [*value.uniformity.varies, *(group for group in (extent.size_of, extent.index_of) if group is not None)]
