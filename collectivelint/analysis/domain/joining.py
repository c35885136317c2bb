"""Joins at control-flow merges: the value of a variable after a branch, and what the condition adds to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from .alternatives import either
from .causes import Cause, merged
from .implication import implies
from .symbol import WORLD, Symbol, constant, subscript
from .value import UNKNOWN, Reference, Value
from .wrapped import either as surest_wrapper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .extent import Extent
    from .origin import Origin
    from .uniformity import Uniformity


def join(one: Value, other: Value, fresh: Symbol, guard: Value | None = None, where: Cause | None = None) -> Value:
    """The value of a variable after a branch whose arms gave it `one` and `other`.

    Where `guard`, the condition, varies, so does the result, unless both arms agree: an implicit flow.
    """
    if one == other:
        return one
    if one.symbol is other.symbol and one.constant is UNKNOWN:
        return _same_symbol(one, other)
    if one.written is other.written and one.written.kind == "call" and one.constant is UNKNOWN:
        # `result = load()` in one arm and `load()` in the other: whatever the condition says, the call is the same.
        return _same_symbol(one, other).but(symbol=fresh, was=one.written)
    if guard is None or not guard.uniformity.varies:
        for rank, rest in ((one, other), (other, one)):
            if rank.reference.kind == "rank" and rest.constant in (0, -1) and rest.constant is not False:
                # What a job of one process says instead.
                return rank
    if guard is not None and (group := or_default(one, other, guard.symbol)) is not None:
        return group
    # None beside an object is the common "not set up yet": the object's kind stays known.
    known = other if one.constant is None else one
    # `group = default() if group is None else group` is not the parameter any more.
    kept = _is_same_kind(one, other) and known.symbol.root and None in (one.constant, other.constant)
    return Value(
        known.symbol if kept else fresh,
        _uniformity(one, other, guard, where),
        reference=_reference(one, other, fresh, guard, where),
        extent=_extent(one, other, guard),
        origin=_origin(one, other),
    )


def or_default(one: Value, other: Value, condition: Symbol) -> Value | None:
    """The parameter `group` in `WORLD if group is None else group`, where None means the default group; else None."""
    asked = condition.positive
    for default, group in ((one, other), (other, one)):
        if default.symbol is WORLD and group.symbol.parameter is not None and asked.head == ("is",):
            return group if asked.args == (group.symbol, _NONE) else None
    return None


_NONE: Final = constant(None)


def either_state(one: Value, other: Value, symbol: Symbol) -> Value:
    """The value of an attribute that one method sets to `one` and another one to `other`.

    An initial value is not a separate configuration: if only one method sets it on some ranks, it differs from then on.
    """
    found = join(one, other, symbol)
    if not found.uniformity.maybe or one.uniformity.maybe or other.uniformity.maybe:
        return found
    is_set = any(cause.kind == "branch" for cause in found.uniformity.causes)
    return found.varying(maybe=False) if is_set and not any(_is_agreed(value) for value in (one, other)) else found


def _same_symbol(one: Value, other: Value) -> Value:
    """The join of two values of one expression that carry different facts."""
    mine, its = one.uniformity, other.uniformity
    present = mine.present if mine.present is its.present else None
    return (
        one.varying(absent=mine.absent | its.absent, present=present)
        .referring(
            optional=one.reference.optional or other.reference.optional,
            item=either(one.reference.item, other.reference.item),
            wrapped=surest_wrapper(one.reference.wrapped, other.reference.wrapped),
        )
        .sized(uneven=one.extent.uneven or other.extent.uneven, whole=one.extent.whole & other.extent.whole)
        .sourced(sharded=one.origin.sharded or other.origin.sharded)
    )


def _is_same_kind(one: Value, other: Value) -> bool:
    """Whether both are objects of one class, or one is None."""
    known = other if one.constant is None else one
    return known.constant is UNKNOWN and (
        one.constant is None or other.constant is None or one.reference.instance == other.reference.instance
    )


def _uniformity(one: Value, other: Value, guard: Value | None, where: Cause | None) -> Uniformity:
    absent, present = _absence(one, other, guard)
    found = one.uniformity.join(other.uniformity).but(absent=absent, present=present)
    implicit = guard is not None and bool(guard.uniformity.varies)
    settled = any(value.constant not in (UNKNOWN, None) or _is_agreed(value) for value in (one, other))
    if settled and found.varies and not implicit:
        found = found.but(maybe=True)
    sized = one.extent.size_of is not None or other.extent.size_of is not None
    alike = where is not None and all(_is_received_behind(value, where) for value in (one, other))
    if guard is not None and not implicit and bool(one.uniformity.varies) is not bool(other.uniformity.varies):
        found = found.but(equal_where=guard.symbol if other.uniformity.varies else guard.symbol.negate())
    if guard is not None and implicit and where is not None and not sized and not alike:
        causes = merged(found.causes, (*guard.uniformity.causes, where))
        # Where the condition differs under some configuration only, so does what it decides.
        maybe = found.maybe or (guard.uniformity.maybe and not found.varies)
        found = found.but(varies=found.varies | guard.uniformity.varies, causes=causes, maybe=maybe)
    return found


def equal(variables: Mapping[str, Value], condition: Symbol) -> list[tuple[str, Value]]:
    """The variables that vary, but are equal on all ranks where a condition holds, with their values there."""
    return [
        (name, value.varying(varies=frozenset(), causes=(), equal_where=None))
        for name, value in variables.items()
        if value.uniformity.equal_where is not None and implies(condition, value.uniformity.equal_where)
    ]


def _is_agreed(value: Value) -> bool:
    """Whether it is an attribute that all ranks have received from one another, and so is the same on all."""
    is_kept = value.symbol.kind == "attribute" and not value.uniformity.varies
    return is_kept and any(cause.kind == "received" for cause in value.origin.origins)


def _is_received_behind(value: Value, where: Cause) -> bool:
    """Whether a value is the same on all ranks because an arm, after the condition, received or sent it."""
    return not value.uniformity.varies and any(
        cause.kind == "received" and cause.path == where.path and cause.span.line > where.span.line
        for cause in value.origin.origins
    )


def _absence(one: Value, other: Value, guard: Value | None) -> tuple[frozenset[Symbol], Symbol | None]:
    """The axes over which a variable may be None after a branch, and the condition under which it is not.

    `x = None`, `if rank == 0: x = a`, `if rank != 0: x = b` leaves no rank with None.
    """
    before: frozenset[Symbol] = frozenset()
    if guard is None:
        return one.uniformity.absent | other.uniformity.absent, None
    known, opposite = guard.symbol, guard.symbol.negate()
    for value, holds in ((one, known), (other, opposite)):
        if value.uniformity.present is not holds:
            before |= value.uniformity.absent
    if (one.constant is None) == (other.constant is None):
        return before, None
    # Where it was missing before for another reason, no single condition says where it is.
    present = opposite if one.constant is None else known
    return before | guard.uniformity.varies, None if before else present


def _reference(one: Value, other: Value, fresh: Symbol, guard: Value | None, where: Cause | None) -> Reference:
    mine, its = one.reference, other.reference
    nothing = None in (one.constant, other.constant)
    parts: tuple[Value, ...] = ()
    alike = len(mine.parts) == len(its.parts) or one.written.kind == other.written.kind
    if mine.parts and its.parts and alike:
        # `return rank, size, devices` where more is asked for, else `return rank, size`: three targets take the longer one.
        pairs = enumerate(zip(mine.parts, its.parts, strict=False))
        shared = [join(left, right, subscript(fresh, constant(index)), guard, where) for index, (left, right) in pairs]
        parts = (*shared, *max(mine.parts, its.parts, key=len)[len(shared) :])
    optional = nothing or mine.optional or its.optional
    everyone = all(value.reference.everyone for value in (one, other) if value.constant is not None)
    item = either(mine.item, its.item) if mine.item is not None or its.item is not None else None
    wrapped = surest_wrapper(mine.wrapped, its.wrapped)
    if not _is_same_kind(one, other):
        return Reference(parts=parts, optional=optional, everyone=everyone, item=item, wrapped=wrapped)
    known = its if one.constant is None else mine
    return Reference(
        target=known.target,
        instance=known.instance,
        kind=known.kind,
        meaning=known.meaning,
        parts=parts,
        item=item,
        optional=optional,
        partial=known.partial,
        everyone=everyone,
        dims=known.dims if nothing or mine.dims == its.dims else None,
        wrapped=wrapped,
    )


def _extent(one: Value, other: Value, guard: Value | None) -> Extent:
    by_role = guard is not None and any(cause.kind == "rank" for cause in guard.uniformity.causes)
    found = one.extent.join(other.extent, by_role=by_role)
    size = _size(one, other) or _size(other, one)
    whole = found.whole
    if guard is not None and one.extent.whole is not other.extent.whole and not guard.uniformity.varies:
        # `if len(x) % size: x += ...`: where it is not made longer it is long enough.
        whole = one.extent.whole | other.extent.whole
    return found if found.size_of is size and found.whole == whole else found.but(size_of=size, whole=whole)


def _size(one: Value, other: Value) -> Symbol | None:
    """The common group size of two values; 1 in a job that is not distributed agrees with any."""
    size = one.extent.size_of
    return size if size == other.extent.size_of or other.constant == 1 else None


def _origin(one: Value, other: Value) -> Origin:
    found = one.origin.join(other.origin)
    if found.ranked or not any(cause.kind == "rank" for value in (one, other) for cause in value.uniformity.causes):
        return found
    return found.but(ranked=True)
