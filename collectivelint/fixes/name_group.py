"""Fixes that pass a group to a collective or a function, and adapt the world sizes and ranks used with its data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..analysis.domain.symbol import WORLD
from ..finding import Fix
from ..ir.nodes import Conditional, Constant
from .call_fix import call_edits

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from ..analysis.program import Analysis
    from ..analysis.summary.model import ApiCall, HelperCall
    from ..finding import Applicability, Edit
    from ..rule import FixBuilder, FixContext


def is_without_group(call: ApiCall) -> bool:
    """Whether the group is omitted, a literal None, or a conditional expression with a literal None in one arm."""
    if call.group is None or call.group.constant is None:
        return True
    return isinstance(call.group_expr, Conditional) and any(
        arm == Constant(None) for arm in (call.group_expr.then, call.group_expr.orelse)
    )


def takes_group(call: ApiCall) -> bool:
    """Whether the call is a collective, or a send or receive, with a parameter for its group."""
    return call.api.category in ("collective", "point_to_point") and call.api.roles.get("group", "self") != "self"


def pass_group(analysis: Analysis, helper: HelperCall, group: str) -> FixBuilder:
    """Builds the fix that passes the expression `group` to a call of the program's own function that omits it."""

    def build(context: FixContext) -> Fix | None:
        import libcst as cst

        from .arguments import with_keyword
        from .regroup import regroup
        from .related import Changed

        def passing(call: cst.Call) -> cst.Call:
            return with_keyword(call, helper.groups[0], cst.parse_expression(group))

        edits = call_edits(context, helper.statement, helper.span, passing)
        if not edits:
            return None
        others = regroup(analysis, context.source, helper.function, [Changed(helper.span)], group)
        if others.refusal:
            return Fix("display", f"`{group}` is at hand, but {others.refusal}", ())
        return Fix("unsafe", f"Pass `{group}` on", (*edits, *others.edits))

    return build


def name_group(analysis: Analysis, call: ApiCall) -> FixBuilder:
    """Builds the fix that passes a group to a collective: the configured, the default, or the one in scope."""

    def build(context: FixContext) -> Fix | None:
        from .world import caution, which_dimension, world_expression

        settings = context.settings
        if settings.group:
            message = f"Name the group: `{settings.group}`"
            fix = _fix(context, analysis, call, settings.group, "safe", message)
            return fix and replace(fix, caution=caution(call.in_reach, settings.group))
        world = world_expression(analysis, call) if settings.explicit_world else None
        only = call.in_reach[0] if len(call.in_reach) == 1 else None
        if world is not None and not (settings.unsafe_fixes and only is not None and only.certain):
            return _fix(context, analysis, call, world, "safe", f"Name the default group: `{world}`")
        fallback = isinstance(call.group_expr, Conditional)
        if only is not None and not only.certain:
            return Fix("display", f"Name the dimension of `{only.owner}` that takes part: {which_dimension(only)}", ())
        if only is not None and not fallback:
            message = f"Use the group in reach: `{only.text}` ({only.origin})"
            return _fix(context, analysis, call, only.text, "unsafe", message)
        if len(call.in_reach) > 1:
            candidates = ", ".join(f"`{group.text}`" for group in call.in_reach)
            return Fix("display", f"Several groups are in reach: {candidates}", ())
        return None

    return build


def _fix(
    context: FixContext,
    analysis: Analysis,
    call: ApiCall,
    expression: str,
    applicability: Applicability,
    message: str,
) -> Fix | None:
    from .regroup import regroup
    from .related import changed

    naming = _naming(context, analysis, call, expression)
    if naming is None:
        return None
    what, edits = naming
    if _is_world(analysis, call, expression):
        return Fix(applicability, what or message, edits)
    passed, outside = _callers(context, analysis, call)
    others = regroup(analysis, context.source, call.function, [changed(call)], expression, passed)
    if (others.shared or others.refusal) and not context.settings.use_group_ops:
        # A size that several collectives share: all of them get the group together, or this one asks for it again.
        peers = [other for other in _peers(analysis, context, call) if other is not call]
        named = [_naming(context, analysis, other, expression) for other in peers]
        together = regroup(
            analysis, context.source, call.function, [changed(other) for other in (call, *peers)], expression, passed
        )
        if peers and all(named) and not together.refusal and not together.shared:
            others, edits = together, (*edits, *(edit for found in named if found is not None for edit in found[1]))
    refusal = _hidden(analysis, call) or others.refusal or (outside if others.outside else "")
    if refusal:
        return Fix("display", f"`{expression}` is in reach, but {refusal}", ())
    if any(one.start < other.end and other.start < one.end for one in edits for other in others.edits):
        return None
    return Fix(applicability, what or message, (*edits, *others.edits))


def _hidden(analysis: Analysis, call: ApiCall) -> str:
    """Why a call that only some ranks reach keeps its group: on a sub-group the condition may not be reported."""
    for facts, found in analysis.divergences():
        here = [event.place[0] for event in (found.event, found.other) if event is not None and not event.chain]
        if facts.function is not call.function or call.span not in here:
            continue
        ranks = any(cause.kind in ("rank", "branch") for cause in found.guard.causes)
        splits = WORLD in found.guard.varies and found.guard.one is found.holds and found.where != "order"
        if ranks and not splits:
            return f"not all ranks reach it (line {found.guard.span.line}); fix that first"
    return ""


def _is_world(analysis: Analysis, call: ApiCall, expression: str) -> bool:
    """Whether the expression is the default group, so that behaviour does not change."""
    from .world import world_expression

    target = analysis.program.resolve(call.function.path, expression)
    return expression == world_expression(analysis, call) or (
        target is not None and target.name in analysis.catalog.world
    )


def _callers(context: FixContext, analysis: Analysis, call: ApiCall) -> tuple[frozenset[str], str]:
    """The parameters for which this file passes the world size, and what it later computes with that."""
    from .regroup import in_caller, sizes_passed

    function, passed, outside = call.function, frozenset[str](), ""
    for caller, site in analysis.calls_in(function.path, function.qualname.rpartition(".")[2]):
        if caller is not function:
            passed |= sizes_passed(analysis, context.source, caller, site.span, function)
            outside = outside or in_caller(analysis, context.source, caller, site.span)[0]
    return passed, outside


def _peers(analysis: Analysis, context: FixContext, call: ApiCall) -> Iterator[ApiCall]:
    """The collectives of the function that get the same group, without those with a comment."""
    for other in analysis.calls_of(call.function.path):
        same = other.function is call.function and other.in_reach == call.in_reach
        if same and takes_group(other) and is_without_group(other) and "#" not in context.source.line(other.span.line):
            yield other


def _naming(
    context: FixContext, analysis: Analysis, call: ApiCall, expression: str
) -> tuple[str, tuple[Edit, ...]] | None:
    """The edits that name the group in a call, and a message where they do more than that."""
    import libcst as cst

    from .arguments import argument, with_keyword
    from .group_ops import as_method, importing

    imports: list[Edit] = []
    role = call.api.roles["group"]

    def named(node: cst.Call) -> cst.Call | None:
        try:
            value = cst.parse_expression(expression)
        except cst.ParserSyntaxError:
            return None
        given = argument(node, role, call.api.position("group"))
        if given is not None and not isinstance(given.value, cst.IfExp) and not _is_none(given.value):
            # A variable that holds None here may hold something else after a change of the code above.
            return None
        if context.settings.use_group_ops and (given is None or _is_none(given.value)):
            method, header = as_method(analysis, call, node, value), importing(analysis, context.source, call.span.line)
            if method is not None and header is not None:
                imports.append(header)
                return method
        if given is None:
            return with_keyword(node, role, value)
        new = _named(given.value, value) if isinstance(given.value, cst.IfExp) else value
        return node.with_deep_changes(given, value=new)

    edits = call_edits(context, call.statement, call.span, named)
    if not edits:
        return None
    if not imports:
        return "", edits
    found = (*edits, *(header for header in imports if header.content))
    return f"Call it on a group of its own: `GroupOps({expression}).{call.api.op}`", found


def _named(conditional: cst.IfExp, value: cst.BaseExpression) -> cst.IfExp:
    """`mesh.get_group() if mesh else None` with the None replaced by the default group."""
    return conditional.with_changes(
        body=value if _is_none(conditional.body) else conditional.body,
        orelse=value if _is_none(conditional.orelse) else conditional.orelse,
    )


def _is_none(value: cst.BaseExpression) -> bool:
    import libcst as cst

    return isinstance(value, cst.Name) and value.value == "None"
