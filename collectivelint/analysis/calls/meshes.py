"""The dimensions of device meshes where the program writes them out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..domain.value import Value


def dims_of(values: Mapping[str, Value]) -> tuple[str, ...] | None:
    """The names of the dimensions of a mesh made with these arguments; empty strings for dimensions without names."""
    named = values.get("mesh_dim_names")
    if named is not None and named.reference.parts:
        return tuple(part.constant if isinstance(part.constant, str) else "" for part in named.reference.parts)
    if named is not None and named.constant is not None:
        return None
    shape = values.get("mesh_shape")
    if shape is not None:
        return ("",) * len(shape.reference.parts) or None
    ranks = values.get("mesh")
    return ("",) * _depth(ranks) or None if ranks is not None else None


def _depth(value: Value) -> int:
    """The nesting depth of a list of lists; 0 where it is not written out."""
    if not value.reference.parts:
        return 0
    first = value.reference.parts[0]
    return 1 if isinstance(first.constant, int) else _depth(first) and 1 + _depth(first)


def part_of(index: Value) -> tuple[str, ...] | None:
    """The dimensions that an index selects: `mesh["dp"]`, `mesh["dp", "tp"]`."""
    if isinstance(index.constant, str):
        return (index.constant,)
    names = tuple(part.constant for part in index.reference.parts if isinstance(part.constant, str))
    return names if names and len(names) == len(index.reference.parts) else None
