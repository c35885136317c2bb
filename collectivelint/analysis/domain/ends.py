"""Conditions on the first and the last rank of a group, which are the same rank in a group of one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from .flowing import flow
from .recognise import launched
from .symbol import WORLD, Symbol, both, constant, name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .value import Value

_ZERO: Final = constant(0)
_ONE: Final = constant(1)
_LAST: Final = name("last")


def combined(op: Literal["and", "or"], parts: Sequence[Value]) -> Value:
    """The value of a conjunction or disjunction of conditions.

    That a rank is both the first and the last of its group is true on all ranks of a group of one, and on none of another: such
    conditions add nothing to how the whole varies, and neither do their negations in a disjunction.
    """
    symbol = both(op, [part.symbol for part in parts])
    joint = of_both_ends(op, [part.symbol for part in parts])
    if not joint:
        return flow(symbol, parts)
    return flow(
        symbol,
        [
            part.varying(varies=frozenset(), causes=(), one=None, maybe=False) if part.symbol in joint else part
            for part in parts
        ],
    )


def of_both_ends(op: Literal["and", "or"], symbols: Sequence[Symbol]) -> list[Symbol]:
    """Those of several conditions that together say that a rank is (or is not) both first and last of a group."""
    first = {_end(symbol, op, last=False): symbol for symbol in symbols}
    last = {_end(symbol, op, last=True): symbol for symbol in symbols}
    both_of = (first.keys() & last.keys()) - {None}
    return [symbol for found in (first, last) for rank, symbol in found.items() if rank in both_of]


def has_others(condition: Symbol) -> bool | None:
    """True for a condition that holds if there are other ranks, in the job or in one group; False if there are none.

    None for any other condition.
    """
    found = launched(condition)
    if found is not None:
        return found
    if condition.kind == "not":
        inner = has_others(condition.args[0])
        return None if inner is None else not inner
    if condition.kind == "and" or condition.kind == "or":
        joint = of_both_ends(condition.kind, condition.args)
        return condition.kind == "or" if len(joint) == len(condition.args) else None
    return None


def _end(symbol: Symbol, op: str, *, last: bool) -> Symbol | None:
    """The rank symbol that a condition says is the first (or last) of its group, or with `or` says is not."""
    condition = symbol.positive
    if symbol.is_negation is not (op == "or") or condition.kind != "compare" or condition.head != ("==",):
        return None
    left, right = condition.args
    if right is _ZERO:
        is_last = left.kind == "operation" and left.head[0] == "from" and left.args[1:] == (_LAST,)
        return (left.args[0] if is_last else left) if is_last is last else None
    if not last:
        return None
    if _is_last_of(right, left):
        return left
    return right if _is_last_of(left, right) else None


def _is_last_of(number: Symbol, rank: Symbol) -> bool:
    """Whether a number is the size of a rank's group minus one."""
    if number.kind != "compound" or number.head != ("Sub",) or number.args[1] is not _ONE:
        return False
    size = number.args[0]
    if size.kind == "world_size":
        return rank.kind != "rank" or (size.args[0] if size.args else WORLD) is rank.args[0]
    text = str(size.head[-1]) if size.kind in ("attribute", "parameter", "operation", "name", "global") else ""
    return text.endswith(("size", "world"))
