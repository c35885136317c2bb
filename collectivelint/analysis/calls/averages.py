"""Averages over a group: a sum over one group that is divided by the size of another, or the reverse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..domain.symbol import WORLD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...catalog.model import Api
    from ...ir.nodes import Call, Span
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..transfer.state import Frame

#: Methods of tensors that divide, and those that do so in place.
DIVIDING: Final = frozenset({"div", "div_", "true_divide", "true_divide_", "divide", "divide_"})


def divided(frame: Frame, span: Span, number: Value, divisor: Value, quotient: Value) -> Value:
    """The quotient, marked as averaged if the divisor is a group's size; noted if the sum is over another group."""
    group, summed = divisor.extent.size_of, number.origin.summed
    if group is None:
        return _of(quotient)
    if summed is None:
        return _of(quotient, averaged=group) if number.extent.size_of is None else quotient
    if _differ(summed, group):
        received = [cause for cause in number.origin.origins if cause.kind == "received"]
        frame.note("average", span, tuple(received[-1:]), callee=_name(group))
    return _of(quotient)


def reduced(frame: Frame, expr: Call, api: Api, values: Mapping[str, Value], name: str, buffer: Value) -> Value:
    """The buffer argument `name` after a reduction: marked as a sum over the group unless it was one before."""
    given, known = values.get(api.roles.get("group", "")), values[name]
    if given is None or api.operation != "all_reduce" or not _is_sum(values.get(api.roles.get("op", ""))):
        return buffer
    group = WORLD if given.reference.everyone else given.group_key
    if group is not WORLD and given.reference.meaning != "group":
        return buffer
    if known.origin.averaged is not None:
        if _differ(known.origin.averaged, group):
            frame.note("average", expr.span, (), callee=_name(known.origin.averaged))
        return buffer
    if known.origin.summed is not None:
        return buffer
    return _of(buffer, summed=group)


def _of(value: Value, summed: Symbol | None = None, averaged: Symbol | None = None) -> Value:
    known = value.origin
    if known.summed is summed and known.averaged is averaged:
        return value
    return value.but(origin=known.but(summed=summed, averaged=averaged))


def _is_sum(op: Value | None) -> bool:
    """Whether the reduction operation is SUM, which is also the default if `op` is not given."""
    if op is None:
        return True
    last = op.symbol.head[-1] if op.symbol.head else ""
    return str(last).rpartition(".")[2].upper() == "SUM"


def _differ(one: Symbol, other: Symbol) -> bool:
    """Whether two groups are known to differ; two sub-groups may be one group under two names."""
    return one is not other and WORLD in (one, other)


def _name(group: Symbol) -> str:
    return "the job" if group is WORLD else "a group"
