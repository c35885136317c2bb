"""Suggests that one rank decides and broadcasts the decision, instead of each rank deciding; never applied.

Which rank decides, and whether a broadcast or a reduction is right, is up to the author.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import libcst as cst

from ..analysis.domain.symbol import WORLD
from ..finding import Fix
from ..ir.names import plain
from .world import prefixes

if TYPE_CHECKING:
    from ..analysis.checks.divergence import Divergence
    from ..analysis.program import Analysis
    from ..analysis.summary.facts import FunctionFacts
    from ..rule import FixContext

_BROADCAST: Final = "broadcast_object_list"


def shared_decision(
    context: FixContext, analysis: Analysis, facts: FunctionFacts, divergence: Divergence
) -> Fix | None:
    """The suggestion for an `if` whose condition decides about a collective; None if it cannot be expressed."""
    guard, path = divergence.guard, facts.function.path
    group = _group(facts, divergence)
    module = _module(analysis, path)
    if guard.path != path or group is None or module is None:
        return None
    start = context.source.offset(guard.statement.line, 0) + guard.statement.column
    anchored = context.anchor(guard.statement)
    if context.source.text.startswith("elif", start) or anchored is None or not anchored.alone:
        return None
    branch = anchored.statement
    if not isinstance(branch, cst.If):
        return None
    name = "decided"
    while re.search(rf"\b{name}\b", context.source.text):
        name += "_together"
    test = cst.Module([]).code_for_node(branch.test)
    root = "src=0, group=" + f"{module}.group.WORLD" if group == "" else f"group_src=0, group={group}"
    lines = [
        cst.parse_statement(f"{name} = [{test}]").with_changes(leading_lines=branch.leading_lines),
        cst.parse_statement(f"{module}.{_BROADCAST}({name}, {root})"),
        branch.with_changes(test=cst.parse_expression(f"{name}[0]"), leading_lines=[]),
    ]
    edits = anchored.replace(branch, cst.FlattenSentinel(lines))
    return Fix("display", "Decide on one rank and broadcast the decision", edits) if edits else None


def _group(facts: FunctionFacts, divergence: Divergence) -> str | None:
    """The source of the collective's group in the function; "" for the default group; None if it has none."""
    event = divergence.event
    if event.group is WORLD:
        return ""
    if event.chain:
        return None
    call = next((call for call in facts.calls if call.span == event.span), None)
    return plain(call.group_expr) if call is not None and call.group_expr is not None else None


def _module(analysis: Analysis, path: str) -> str | None:
    """What torch.distributed is called in a file; its shortest name."""
    names = []
    for prefix in prefixes(analysis, path):
        target = analysis.program.resolve(path, f"{prefix}.{_BROADCAST}") if prefix else None
        api = analysis.catalog.apis.get(target.name) if target is not None else None
        if api is not None and "group_src" in api.roles:
            names.append(prefix)
    return min(names, key=len, default=None)
