"""Reports a call that leaves out the group its caller has and uses.

## What it does
Finds a call of a function that takes a group, or a mesh, and passes it on to collectives, if the call omits it and
the caller has one: a parameter, or a group that it passes to other collectives of the same function.

A collective that itself has no `group` argument is reported by CL101, unless it is known to be wrong: it is reported
here if a caller reaches it only under a condition on the rank inside a group (`dist.get_rank(group) == 0`).

## Why is this bad
The helper falls back to the default group. With one dimension of parallelism both groups are the same and the error
does not show; with two, the mean is taken over the wrong ranks, or the call waits for ranks outside the group.

## Example
```python
import torch.distributed as dist


def mean(value, group=None):
    dist.all_reduce(value, group=group)
    return value / dist.get_world_size(group)


def mean_of_all(values, group: dist.ProcessGroup):
    return {name: mean(value) for name, value in values.items()}  # CL102
```

## Use instead
```python
import torch.distributed as dist


def mean(value, group=None):
    dist.all_reduce(value, group=group)
    return value / dist.get_world_size(group)


def mean_of_all(values, group: dist.ProcessGroup):
    return {name: mean(value, group=group) for name, value in values.items()}
```

## Fix safety
Unsafe: the call runs on another group afterwards. Offered if a single group is in reach. A `get_world_size()` that
belongs to the call's data gets the same group; where that is not possible, there is no fix.

## References
- [torch.distributed: Groups](https://docs.pytorch.org/docs/stable/distributed.html#groups)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Constant,
    Place,
    Report,
    Rule,
    condition_text,
    divergence_trail,
    dotted_name,
    events,
    group_exclusions,
    pass_group,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Event, Expr, Findings, FunctionFacts, GroupInReach, HelperCall


RULE: Final = Rule(
    "CL102", "dropped-group", "a call that omits the group its caller has", fix="unsafe", holds="of groups"
)

#: Names of parameters that take any group.
_GENERAL: Final = frozenset({"group", "process_group", "pg", "mesh", "device_mesh"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call, and for each collective that leaves out the only group whose ranks reach it."""
    for call, divergence in group_exclusions(findings):
        yield Report.at(
            call,
            message=f"`{call.api.op}` waits for every rank in the job, but only ranks where"
            f" {condition_text(findings, divergence)} reach it, and that condition depends on a rank inside a group",
            severity="error",
            trail=tuple(divergence_trail(divergence)),
            help="pass the group whose ranks reach it",
        )
    for facts in findings.analysis.functions:
        for helper in facts.helpers:
            group = _dropped(facts, helper)
            if group is None:
                continue
            event = next(event for event in helper.events if event.group.parameter == helper.groups[0])
            name = helper.callee.qualname
            yield Report.at(
                helper,
                message=f"this call of `{name}` passes no `{helper.groups[0]}`, so `{event.op}` in it "
                + ("runs on the default group" if _runs(facts, helper, event) else "does not run")
                + f", but the caller has `{group.text}`",
                severity="error",
                trail=(
                    Place(helper.function.path, helper.span, "call", f"calls {name}"),
                    Place(event.path, event.span, "collective", f"{event.op}, group `{helper.groups[0]}`"),
                ),
                help=f"pass `{helper.groups[0]}={group.text}`",
                fix=pass_group(findings.analysis, helper, group.text) if group.certain else None,
            )


def _dropped(facts: FunctionFacts, helper: HelperCall) -> GroupInReach | None:
    """The one group in reach of the caller that the call leaves out; or None."""
    if not helper.groups:
        return None
    parameter = helper.groups[0]
    by_name = {item.name: item for item in helper.callee.params}
    if len(helper.groups) != 1 or parameter in helper.given or by_name[parameter].default != Constant(None):
        return None
    if helper.callee.path == facts.function.path and helper.callee.span == facts.function.span:
        return None
    used = {_text(call.group_expr) for call in facts.calls if call.group_expr is not None}
    for other in facts.helpers:
        words = dict(other.call.keywords)
        used |= {_text(words[name]) for name in other.groups if name in words}
    # A mesh and a group do not stand for each other, and `tp_group` is nothing for a parameter that means `dp_group`.
    reach = [item for item in helper.in_reach if item.origin == "parameter" or item.text in used]
    if len(reach) != 1 or not _alike(parameter, reach[0].text):
        return None
    if "mesh" in parameter and reach[0].owner:
        return reach[0].as_mesh()
    return reach[0]


def _runs(facts: FunctionFacts, helper: HelperCall, event: Event) -> bool:
    """Whether a call runs a collective of the callee without the group, too."""
    return any(
        found.span == event.span and found.chain and found.chain[0].span == helper.span for found in events(facts.term)
    )


def _alike(parameter: str, text: str) -> bool:
    """Whether the parameter may take a group of this name: `group` takes any, others one of the same kind."""
    return parameter in _GENERAL or parameter in text or text in _GENERAL


def _text(expr: Expr | None) -> str | None:
    return dotted_name(expr) if expr is not None else None
