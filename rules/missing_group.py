"""Reports a collective that does not say which process group it runs on.

## What it does
Finds every call of an operation that takes a process group (barrier, all_reduce, all_to_all, send, ...) and gives none:
the argument is left out, is `None`, or falls back to `None` on some path. The finding is an error when the program makes
sub-groups or a group is in reach of the call, and a warning otherwise.

## Why is this bad
Without a group the call runs on the default group, which is every rank of the job. That is right until a second kind of
rank appears: a distillation teacher, an evaluation worker, a pipeline stage. Those ranks do not make the call, and the
others wait for them until the process group times out. A reduction over the default group instead of the data-parallel
group does not even hang: it silently averages the wrong values.

## Example
```python
import torch.distributed as dist


class CheckpointManager:
    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group

    def save(self) -> None:
        dist.barrier()  # CL101
```

## Use instead
```python
import torch.distributed as dist


class CheckpointManager:
    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group = group

    def save(self) -> None:
        dist.barrier(group=self.group)
```

Where every rank of the job is really meant, say so: `dist.barrier(group=dist.group.WORLD)`.

## Fix safety
Naming the default group (`--explicit-world`) is safe: behaviour does not change. Taking the group in reach is unsafe,
because it changes who takes part; it is offered only where a single one is in reach, and of a mesh with several
dimensions only where the function names one of them elsewhere. The size and the rank that belong to the data of the call
(`x /= dist.get_world_size()`) are asked of the same group; where they cannot be, there is no fix. `--group EXPR` writes
the expression you give, and is taken at its word.

## Options
- `explicit-world`: offer `group=<default group>` where no group is in reach.
- `group`: the expression to write, for all calls.
- `use-group-ops`: write `GroupOps(group).barrier()` instead of `dist.barrier(group=group)`, and import it from
  `collectivelint.runtime`; the program needs collectivelint then. Roots other than rank 0 keep the keyword.

## References
- [torch.distributed: Groups](https://docs.pytorch.org/docs/stable/distributed.html#groups)
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from collectivelint.analysis.checks.divergence_report import excluding
from collectivelint.analysis.domain.symbol import WORLD
from collectivelint.analysis.summary.model import misplaced
from collectivelint.finding import Fix
from collectivelint.ir.nodes import Conditional, Constant
from collectivelint.rule import Findings, FixContext, Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.analysis.program import Analysis
    from collectivelint.analysis.summary.model import ApiCall
    from collectivelint.finding import Applicability, Edit
    from collectivelint.rule import FixBuilder

RULE: Final = Rule("CL101", "missing-group", "a collective that does not say which group", fix="safe, unsafe")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each call without a group."""
    made = findings.analysis.making
    # CL102 says more about these.
    worse = {(call.function.path, call.span) for call, _ in excluding(findings)}
    for call in findings.analysis.calls():
        if call.api.category not in ("collective", "point_to_point") or call.api.roles.get("group", "self") == "self":
            continue
        if not _is_missing(call) or misplaced(call) or (call.function.path, call.span) in worse:
            continue
        op = call.api.op
        where = f"`{op}` names no group and takes every rank of the job"
        if call.group is not None and call.group.constant is not None:
            where = f"the group of `{op}` falls back to None, which takes every rank of the job"
        trail = [Place(call.function.path, call.span, "collective", f"{op}, default group")]
        if made:
            where += f", but the program has sub-groups ({made[0].op} at {made[0].path}:{made[0].span.line})"
            trail.append(Place(made[0].path, made[0].span, "note", f"{made[0].op} makes sub-groups"))
        names = [item.text for item in call.in_reach]
        advice = "name the group that takes part"
        if names:
            advice = f"in reach: {', '.join(f'`{name}`' for name in names)}"
        yield Report.at(
            call,
            message=where,
            severity="error" if made or names else "warning",
            trail=tuple(trail),
            help=advice,
            fix=_builder(findings.analysis, call),
        )


def _is_missing(call: ApiCall) -> bool:
    """No argument, a literal None, or an expression one arm of which is a literal None."""
    if call.group is None or call.group.constant is None:
        return True
    return isinstance(call.group_expr, Conditional) and any(
        arm == Constant(None) for arm in (call.group_expr.then, call.group_expr.orelse)
    )


def _builder(analysis: Analysis, call: ApiCall) -> FixBuilder:
    def build(context: FixContext) -> Fix | None:
        from collectivelint.fixes.world import caution, which_dimension, world_expression

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
    from collectivelint.fixes.regroup import regroup
    from collectivelint.fixes.related import changed

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
    """Which condition on ranks would be no finding any more on a sub-group, although it splits that as well."""
    for facts, found in analysis.divergences():
        here = [event.place[0] for event in (found.event, found.other) if event is not None and not event.chain]
        if facts.function is not call.function or call.span not in here:
            continue
        ranks = any(cause.kind in ("rank", "branch") for cause in found.guard.causes)
        splits = WORLD in found.guard.varies and found.guard.one is found.holds and found.where != "order"
        if ranks and not splits:
            return f"not all ranks get there (line {found.guard.span.line}); mend that first"
    return ""


def _is_world(analysis: Analysis, call: ApiCall, expression: str) -> bool:
    """Is it the default group? Then nothing changes."""
    from collectivelint.fixes.world import world_expression

    target = analysis.program.resolve(call.function.path, expression)
    return expression == world_expression(analysis, call) or (
        target is not None and target.name in analysis.catalog.world
    )


def _callers(context: FixContext, analysis: Analysis, call: ApiCall) -> tuple[frozenset[str], str]:
    """The parameters for which this file passes the size of all ranks, and what it computes with that afterwards."""
    from collectivelint.fixes.regroup import in_caller, sizes_passed

    function, passed, outside = call.function, frozenset[str](), ""
    for caller, site in analysis.calls_in(function.path, function.qualname.rpartition(".")[2]):
        if caller is not function:
            passed |= sizes_passed(analysis, context.source, caller, site.span, function)
            outside = outside or in_caller(analysis, context.source, caller, site.span)[0]
    return passed, outside


def _peers(analysis: Analysis, context: FixContext, call: ApiCall) -> Iterator[ApiCall]:
    """The collectives of the function that get the same group, and that no comment speaks of."""
    for other in analysis.calls_of(call.function.path):
        same = other.function is call.function and other.in_reach == call.in_reach
        grouped = (
            other.api.category in ("collective", "point_to_point") and other.api.roles.get("group", "self") != "self"
        )
        if same and grouped and _is_missing(other) and "#" not in context.source.line(other.span.line):
            yield other


def _naming(
    context: FixContext, analysis: Analysis, call: ApiCall, expression: str
) -> tuple[str, tuple[Edit, ...]] | None:
    """The edits that name the group in a call, and what they do where that is something else."""
    import libcst as cst

    from collectivelint.fixes.arguments import with_keyword

    anchored = context.anchor(call.statement)
    node = anchored.find(cst.Call, call.span) if anchored is not None else None
    if anchored is None or node is None:
        return None
    try:
        value = cst.parse_expression(expression)
    except cst.ParserSyntaxError:
        return None
    role = call.api.roles["group"]
    existing = _argument(node, role, call.api.position("group"))
    if existing is not None and not isinstance(existing.value, cst.IfExp) and not _is_none(existing.value):
        # A variable that holds None here may hold something else when somebody changes the code above.
        return None
    if context.settings.use_group_ops and (existing is None or _is_none(existing.value)):
        from collectivelint.fixes.group_ops import as_method, importing

        method, header = as_method(analysis, call, node, value), importing(analysis, context.source, call.span.line)
        if method is not None and header is not None:
            found = (*anchored.replace(node, method), *([header] if header.content else []))
            return f"Call it on a group of its own: `GroupOps({expression}).{call.api.op}`", found
    if existing is None:
        new = with_keyword(node, role, value)
    elif isinstance(existing.value, cst.IfExp):
        new = node.with_deep_changes(existing, value=_named(existing.value, value))
    else:
        new = node.with_deep_changes(existing, value=value)
    edits = anchored.replace(node, new)
    return ("", edits) if edits else None


def _argument(node: cst.Call, role: str, position: int | None) -> cst.Arg | None:
    """The argument of the call that is the group, by keyword or by position."""
    for index, arg in enumerate(node.args):
        if arg.keyword is not None and arg.keyword.value == role:
            return arg
        if arg.keyword is None and index == position:
            return arg
    return None


def _named(conditional: cst.IfExp, value: cst.BaseExpression) -> cst.IfExp:
    """`mesh.get_group() if mesh else None` with the None named."""
    return conditional.with_changes(
        body=value if _is_none(conditional.body) else conditional.body,
        orelse=value if _is_none(conditional.orelse) else conditional.orelse,
    )


def _is_none(value: cst.BaseExpression) -> bool:
    import libcst as cst

    return isinstance(value, cst.Name) and value.value == "None"
