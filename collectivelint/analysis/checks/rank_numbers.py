"""Ranks numbered within a group, where a global rank may be expected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Call, Compare, assignments, expressions
from ...program.target import Target

if TYPE_CHECKING:
    from ...ir.nodes import Expr
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..program import Analysis
    from ..summary.model import ApiCall


def is_inside_group(value: Value, group: Symbol) -> bool:
    """Whether a value is a group rank: this rank's own, a neighbour's, or a loop index over the group."""
    if value.extent.index_of is not None:
        return value.extent.index_of is group
    if value.uniformity.varies != {group} or any(cause.kind != "rank" for cause in value.uniformity.causes):
        return False
    return (value.reference.kind == "rank" and value.written.kind in ("rank", "attribute")) or _is_beside(value.written)


def _is_beside(number: Symbol) -> bool:
    """Whether a number is a rank, a rank plus or minus a constant, or a rank modulo the number of ranks."""
    if number.kind != "compound" or number.head[0] not in ("Mod", "Add", "Sub"):
        return number.kind == "rank"
    return number.head[0] == "Mod" or (number.args[1].kind == "constant" and _is_beside(number.args[0]))


def is_compared_inside(analysis: Analysis, call: ApiCall, root: Expr, group: Symbol) -> bool:
    """Whether the function asks if a parameter, or a number, is this rank's number inside the group of a call."""
    function, body = call.function, call.function.body
    facts = analysis.facts(Target("function", function.path, function.qualname))
    own = [] if facts is None else [asked for asked in facts.calls if asked.api.operation == "rank"]
    asking = {asked.span for asked in own if asked.group is not None and asked.group.group_key is group}
    if not asking:
        return False
    for part in expressions(body):
        if not isinstance(part, Compare) or part.op not in ("==", "!=") or root not in (part.left, part.right):
            continue
        other = part.right if part.left == root else part.left
        made = [found.value for found in assignments(body) if found.targets == (other,)] or [other]
        if len(made) == 1 and isinstance(made[0], Call) and made[0].span in asking:
            return True
    return False


def speaks_of_group(analysis: Analysis, call: ApiCall, group: Symbol) -> bool:
    """Whether the class of a method identifies an object's rank by its group rank only, never by a global rank."""
    owner = call.function.owner
    if owner is None or group.kind != "attribute" or call.values.get("self") is not None:
        return False
    ranks = [
        facts.returns.uniformity.varies
        for facts in analysis.functions
        if facts.function.path == call.function.path
        and facts.function.owner == owner
        and facts.returns is not None
        and facts.returns.reference.kind == "rank"
    ]
    return bool(ranks) and all(varies == {group} for varies in ranks)
