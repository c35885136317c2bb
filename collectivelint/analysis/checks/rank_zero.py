"""Groups that have rank 0 of the job, by the conditions under which they are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...program.target import Target
from ..calls.options import literals
from ..domain.symbol import WORLD, Symbol, constant
from ..domain.value import PLACES
from ..effects import events, guards

if TYPE_CHECKING:
    from ..program import Analysis
    from ..summary.model import ApiCall

_ZERO: Final = constant(0)


def has_rank_zero(analysis: Analysis, call: ApiCall) -> bool:
    """Whether only the group of global rank 0 reaches a call: its ranks are rank 0 in every other dimension.

    The other dimensions are those in the function's conditions and in the groups of its collectives.
    """
    facts = analysis.facts(Target("function", call.function.path, call.function.qualname))
    if facts is None or call.group is None:
        return False
    own = call.group.group_key
    asked = {guard.symbol: guard.varies for guard in (*guards(facts.term), *call.guards)}
    first = {
        axis
        for condition in call.conditions
        for literal in literals(condition)
        if literal.kind == "compare"
        and literal.head == ("==",)
        and literal.args[1] is _ZERO
        and _is_rank(literal.args[0])
        for axis in asked.get(literal, ())
        if len(asked[literal]) == 1
    }
    if WORLD in first:
        return True
    spoken_of = {axis for varies in asked.values() for axis in varies} | {event.group for event in events(facts.term)}
    others = spoken_of - {own, WORLD, *PLACES}
    return bool(others) and others <= first


def _is_rank(number: Symbol) -> bool:
    """Whether a rank is counted from the start of the group, not from its end."""
    return number.kind != "operation" or number.head[0] != "from"
