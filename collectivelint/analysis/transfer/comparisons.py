"""Comparisons in canonical form, so that equal ones are equal symbols."""

from __future__ import annotations

from typing import Final

from ..domain import symbol as symbols
from ..domain.flowing import flow
from ..domain.recognise import is_remainder
from ..domain.symbol import LAUNCHED, WORLD, compare, make
from ..domain.value import PLACES, UNKNOWN, Value

#: Operators whose condition is the opposite of another one's, so that both share one form.
_OPPOSITE: Final = {"!=": "==", "is not": "is", "not in": "in"}
#: What says the same with the sides exchanged.
_MIRRORED: Final = {
    **{op: op for op in ("==", "!=", "is", "is not")},
    "<": ">",
    ">": "<",
    "<=": ">=",
    ">=": "<=",
}
#: What says the same of an integer and the next one.
_NEXT: Final = {"<=": "<", ">": ">="}
#: For ranks, which are integers, these are opposites too.
_OPPOSITE_OF_INTEGERS: Final = {">=": "<", ">": "<="}
#: A remainder is 0 or larger: these ask whether there is one.
_ANY: Final = {(">", 0): "!=", (">=", 1): "!=", ("<", 1): "==", ("<=", 0): "=="}
#: Divided by 2 it is 0 or 1: not to be the one is to be the other.
_ODD: Final = {("==", 1): "!=", ("!=", 1): "=="}
#: `get_rank(group)` is -1 outside the group: these comparisons ask about nothing else. True asks for a member.
_MEMBERSHIP: Final = {(">=", 0): True, ("<", 0): False, ("!=", -1): True, ("==", -1): False}


_TWO: Final = symbols.constant(2)


def _number(value: int) -> Value:
    return Value(symbols.constant(value), constant=value)


def _of_own_rank(value: Value) -> bool:
    """Whether a value varies by rank number alone, without being a rank itself."""
    causes = value.uniformity.causes
    return bool(causes) and value.reference.kind != "rank" and all(cause.kind == "rank" for cause in causes)


def compared(op: str, left: Value, right: Value) -> Value:
    """The value of a comparison of two values."""
    if left.constant is not UNKNOWN and right.constant is UNKNOWN and op in _MIRRORED:
        left, right, op = right, left, _MIRRORED[op]
    if is_remainder(left.symbol) and isinstance(right.constant, int):
        asked = _ANY.get((op, right.constant))
        if asked is None and left.symbol.args[1] is _TWO:
            asked = _ODD.get((op, right.constant))
        if asked is not None:
            op, right = asked, _number(0)
    # The number that a constant rank has in a group is one as well, the same on every rank of it.
    ranked = left.reference.kind == "rank" and bool(left.uniformity.varies)
    if ranked and op in _NEXT and isinstance(right.constant, int):
        # Between one rank and the next there is none: `rank <= 1` is `rank < 2`.
        op, right = _NEXT[op], _number(right.constant + 1)
    if ranked and right.constant == 1 and op == ">=":
        op, right = "!=", _number(0)
    if left.extent.size_of == WORLD and right.constant == 1 and op in (">", "!=", "==", "<="):
        return Value(LAUNCHED if op in (">", "!=") else LAUNCHED.negate()).varying(depends=left.uniformity.depends)
    if ranked and right.constant == 1 and op == "<":
        op, right = "==", _number(0)
    by_rank = ranked or any(cause.kind == "rank" for cause in left.uniformity.causes)
    if by_rank and op in ("in", "not in") and right.reference.parts:
        # In older launchers -1 stands for "not distributed": `local_rank in [-1, 0]` asks for rank 0.
        ranks = {part.constant for part in right.reference.parts} - {-1}
        if ranks <= {0} and (ranked or len(right.reference.parts) > 1):
            op, right = ("==" if op == "in" else "!="), _number(0 if ranks else -1)
    inside = _MEMBERSHIP.get((op, right.constant)) if ranked and isinstance(right.constant, int) else None
    if inside is not None:
        if left.uniformity.varies <= {WORLD, *PLACES}:
            # No rank of the default group is -1: the job is distributed or it is not.
            return Value(LAUNCHED if inside else LAUNCHED.negate())
        # Every rank of the group answers the same, the ranks outside it the opposite: membership, not a rank.
        member = make("member", (), (left.symbol,))
        symbol = member if inside else member.negate()
        return left.but(symbol=symbol).referring(kind=None).varying(one=None, varies=frozenset({WORLD}))
    if ranked and op in _OPPOSITE_OF_INTEGERS:
        op = _OPPOSITE_OF_INTEGERS[op]
        return flow(compare(op, left.symbol, right.symbol).negate(), (left, right))
    negated = op in _OPPOSITE
    op = _OPPOSITE.get(op, op)
    symbol = compare(op, left.symbol, right.symbol)
    parts: tuple[Value, ...] = (left, right)
    if op == "in" and not ranked:
        # Whether a table has an entry says little about who asks; which ranks a list holds is what a rank asks.
        parts = (right,)
    value = flow(symbol.negate() if negated else symbol, parts)
    if not ranked and _of_own_rank(left) and _of_own_rank(right):
        # What a rank keeps of itself, with what it keeps now: as a rule they are equal, on every rank.
        value = value.varying(maybe=True)
    if right.constant is None or (op == "is" and right.constant is not UNKNOWN):
        # Whether something was given at all is a matter of configuration, even where the thing itself varies.
        value = value.varying(
            varies=left.uniformity.absent, causes=left.uniformity.causes if left.uniformity.absent else ()
        ).sourced(origins=())
        if ranked and not left.uniformity.absent:
            # All ranks pass their number, or none does.
            value = value.varying(depends=frozenset())
    constant: object = UNKNOWN
    if left.constant is not UNKNOWN and right.constant is not UNKNOWN and op in ("==", "is"):
        constant = (left.constant == right.constant) != negated
    one = None
    if op == "==" and ranked and not right.uniformity.varies:
        one = not negated
    return value.but(constant=constant).varying(one=one)
