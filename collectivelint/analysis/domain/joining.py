"""The value of a variable where several ways meet."""

from __future__ import annotations

from typing import Any

from .causes import Cause, Length, merged
from .symbol import Symbol, constant, subscript
from .value import UNKNOWN, Value, flow


def join(one: Value, other: Value, fresh: Symbol, guard: Value | None = None, where: Cause | None = None) -> Value:
    """The value of a variable after a branch whose arms gave it `one` and `other`.

    Where `guard`, the condition, varies, so does the result, unless both arms agree: an implicit flow.
    """
    if one == other:
        return one
    again = one.symbol is not other.symbol and one.written is other.written and one.written.kind == "call"
    if (one.symbol is other.symbol or again) and one.constant is UNKNOWN:
        # `result = load()` in one arm and `load()` in the other: whatever the condition says, the call is the same.
        return one.but(
            symbol=fresh if again else one.symbol,
            was=one.written if again else one.was,
            optional=one.optional or other.optional,
            absent=one.absent | other.absent,
            present=one.present if one.present is other.present else None,
            item=one.item or other.item,
            sharded=one.sharded or other.sharded,
            uneven=one.uneven or other.uneven,
        )
    if guard is None or not guard.varies:
        for rank, rest in ((one, other), (other, one)):
            if rank.type == "rank" and rest.constant in (0, -1) and rest.constant is not False:
                # What a job of one process says instead.
                return rank
    mixed = flow(fresh, (one, other))
    if len(one.parts) == len(other.parts):
        pairs = enumerate(zip(one.parts, other.parts, strict=True))
        parts = tuple(
            join(left, right, subscript(fresh, constant(index)), guard, where) for index, (left, right) in pairs
        )
        mixed = mixed.but(parts=parts)
    # None beside an object is the common "not set up yet": the object's kind stays known.
    known = other if one.constant is None else one
    same = known.constant is UNKNOWN and (
        one.constant is None or other.constant is None or one.instance == other.instance
    )
    if same:
        mixed = mixed.but(
            instance=known.instance,
            type=known.type,
            meaning=known.meaning,
            dims=known.dims if None in (one.constant, other.constant) or one.dims == other.dims else None,
            target=known.target,
            partial=known.partial,
            # `group = default() if group is None else group` is not the parameter any more.
            symbol=known.symbol if known.symbol.root and None in (one.constant, other.constant) else mixed.symbol,
        )
    mixed = mixed.but(
        optional=one.constant is None or other.constant is None or one.optional or other.optional,
        **_absence(one, other, guard),
        uneven=merged(one.uneven, other.uneven),
        unordered=one.unordered and other.unordered,
        size_of=_size(one, other) or _size(other, one),
        sharded=one.sharded and other.sharded,
        everyone=all(value.everyone for value in (one, other) if value.constant is not None),
        item=one.item or other.item,
        length=_longer(one.length, other.length, guard),
    )
    settled = any(value.constant not in (UNKNOWN, None) for value in (one, other))
    if settled and mixed.varies and (guard is None or not guard.varies):
        mixed = mixed.but(maybe=True)
    sized = one.size_of is not None or other.size_of is not None
    if guard is not None and guard.varies and where is not None and not sized:
        causes = merged(mixed.causes, (*guard.causes, where))
        mixed = mixed.but(varies=mixed.varies | guard.varies, causes=causes)
    return mixed


def _absence(one: Value, other: Value, guard: Value | None) -> dict[str, Any]:
    """Where there is nothing after a branch on some ranks: by what its condition varies, if one arm leaves nothing.

    `x = None`, `if rank == 0: x = a`, `if rank != 0: x = b` leaves something on all of them.
    """
    before: frozenset[Symbol] = frozenset()
    if guard is None:
        return {"absent": one.absent | other.absent, "present": None}
    known, opposite = guard.symbol, guard.symbol.negate()
    for value, holds in ((one, known), (other, opposite)):
        if value.present is not holds:
            before |= value.absent
    if (one.constant is None) == (other.constant is None):
        return {"absent": before, "present": None}
    # Where it was missing before for another reason, no single condition says where it is.
    present = opposite if one.constant is None else known
    return {"absent": before | guard.varies, "present": None if before else present}


def _size(one: Value, other: Value) -> Symbol | None:
    """The size of a group, also where it is 1 in a job that is not distributed."""
    return one.size_of if one.size_of == other.size_of or other.constant == 1 else None


def _longer(one: Length | None, other: Length | None, guard: Value | None) -> Length | None:
    """The length after a branch: on some ranks that of what they have, on others that of a buffer for it."""
    roles = guard is not None and any(cause.kind == "rank" for cause in guard.causes)
    if one is None or other is None:
        known = one or other
        return known if known is not None and known.kind == "grown" and not roles else None
    if one.kind == other.kind:
        return one
    grown = one if one.kind == "grown" else other
    return Length("mixed", grown.cause) if roles else None
