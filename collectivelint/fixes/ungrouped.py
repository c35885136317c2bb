"""The collectives of a program without a `group` argument, and the calls that lead to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ..analysis.domain.symbol import WORLD
from ..analysis.effects import CallSite, events
from ..catalog.operations import GLOBAL_ROOTS
from ..ir.nodes import Call
from .name_group import takes_group

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..analysis.program import Analysis
    from ..analysis.summary.facts import FunctionFacts
    from ..analysis.summary.model import ApiCall
    from ..ir.nodes import Span

#: A function of the program: file, qualified name.
Key: TypeAlias = tuple[str, str]


def leading(facts: FunctionFacts) -> Iterator[tuple[CallSite, Key]]:
    """The calls of a function that lead to a collective on the default group, each with its callee."""
    for event in events(facts.term):
        if event.group is WORLD and event.kind == "collective" and event.chain:
            first, *rest = event.chain
            yield first, (rest[0].path if rest else event.path, first.callee)


def by_function(calls: Iterable[ApiCall]) -> dict[Key, list[ApiCall]]:
    """Calls by the function that contains them."""
    found: dict[Key, list[ApiCall]] = {}
    for call in calls:
        found.setdefault((call.function.path, call.function.qualname), []).append(call)
    return found


def rooted(call: ApiCall) -> str:
    """Why a rooted collective cannot take a group: its root is a fixed global rank. "" if it can."""
    if call.api.category != "collective":
        return ""
    for role in GLOBAL_ROOTS:
        name = call.api.roles.get(role)
        inside = call.api.roles.get(f"group_{role}")
        if name is None or inside in call.values:
            continue
        value = call.values.get(name)
        if value is None or isinstance(value.constant, int):
            number = 0 if value is None else value.constant
            return f"its root is rank {number} of the whole job, which another group need not hold"
    return ""


def missing(analysis: Analysis) -> Iterator[ApiCall]:
    """Collectives without a `group` argument, in functions where no group is in scope."""
    for call in analysis.calls():
        absent = call.group is None or (call.group.constant is None and call.group_expr is None)
        named = isinstance(call.call, Call) and not call.call.spread
        if takes_group(call) and absent and named and not call.in_reach and call.function.qualname != "<module>":
            yield call


def divergent(analysis: Analysis) -> dict[tuple[str, Span], str]:
    """The calls on the default group that only some ranks reach, or in another order, each with the condition's place.

    On another group, about which less is known, the same condition might not be reported; it has to be fixed first.
    """
    found: dict[tuple[str, Span], str] = {}
    for facts, divergence in analysis.divergences():
        guard = divergence.guard
        for event in (divergence.event, divergence.other):
            if event is not None and event.group is WORLD:
                span = event.chain[0].span if event.chain else event.place[0]
                found.setdefault((facts.function.path, span), f"{guard.path}:{guard.span.line}")
    return found
