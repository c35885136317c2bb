"""Conditions of catalogue rows on the arguments of a call: `when`, `unless`, `own_data`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...catalog.rows import GIVEN
from ..domain.value import UNKNOWN, Value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...catalog.model import Api


def is_none_here(api: Api, values: Mapping[str, Value]) -> bool:
    """Whether the arguments, by parameter, show that the call is not what its catalogue row describes."""
    if any(holds(condition, values) is True for condition in api.unless):
        return True
    return bool(api.when) and all(holds(condition, values) is False for condition in api.when)


def holds(condition: tuple[str, object], values: Mapping[str, Value]) -> bool | None:
    """Whether an argument is the constant of a condition, or ends with its name (`Mode.DP`); None if that is not known.

    For an argument that is not given it is False.
    """
    name, wanted = condition
    value = values.get(name)
    if value is None:
        return False
    if wanted == GIVEN:
        return None if value.constant is UNKNOWN else value.constant is not None
    if value.constant is not UNKNOWN:
        return value.constant == wanted and isinstance(value.constant, bool) == isinstance(wanted, bool)
    target = value.reference.target
    owner, _, last = target.name.rpartition(".") if target is not None else ("", "", "")
    if last and isinstance(wanted, str):
        return last == wanted
    # A member of an enumeration is no flag and no number.
    return False if owner.rpartition(".")[2][:1].isupper() else None


def named_axis(api: Api, values: Mapping[str, Value]) -> str | None:
    """The axis of a row: its own, or the one that an argument names."""
    value = values.get(api.axis_by) if api.axis_by is not None else None
    return value.constant if value is not None and isinstance(value.constant, str) else api.axis
