"""Reports a collective that does not say which process group it runs on.

## What it does
Finds every call of an operation that takes a process group (barrier, all_reduce, all_to_all, send, ...) and gives none:
the argument is left out, is `None`, or falls back to `None` on some path.

- **high** confidence: the function is made for one group. The group is a parameter, or an attribute that the
  constructor sets to a parameter; no call in the function (or class) uses another group or the default group
  explicitly; at least as many use this group as none; and the call is not in the branch for a group that is None.
- **low**: otherwise, also where other collectives of the function or class run on a group, and where the program that
  makes the call also makes a group that leaves some ranks out: some function reaches both, and the message names the
  place. A program with several groups usually means all ranks where it names no group (of about thirty such findings
  in real programs, none was a fault). If all ranks of the job are meant, the call is right, so these findings are
  only counted: `--select CL101` lists them.

## Why is this bad
Without a group the call runs on the default group, which is every rank of the job. That is right until a second kind
of rank is added: a distillation teacher, an evaluation worker, a pipeline stage. Those ranks do not make the call,
and the others wait for them until the process group times out. A reduction over the default group instead of the
data-parallel group does not even hang: it silently averages the wrong values.

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
Naming the default group (`--explicit-world`) is safe: behaviour does not change. Passing the group in reach is
unsafe, because it changes which ranks take part; it is offered only if a single group is in reach, and for a mesh
with several dimensions only if the function names one of them elsewhere. The size and the rank that belong to the
data of the call (`x /= dist.get_world_size()`) get the same group; where that is not possible, there is no fix.
`--group EXPR` writes the expression you give, without a check.

## Options
- `explicit-groups = "always"`: list every call without a group, as `--select CL101` does.
- `explicit-world`: offer `group=<default group>` where no group is in reach.
- `group`: the expression to write, for all calls.
- `use-group-ops`: write `GroupOps(group).barrier()` instead of `dist.barrier(group=group)`, and import it from
  `collectivelint.runtime`; the program needs collectivelint then. Roots other than rank 0 keep the keyword.

## References
- [torch.distributed: Groups](https://docs.pytorch.org/docs/stable/distributed.html#groups)
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    WORLD,
    Call,
    Confidence,
    Constant,
    Place,
    Report,
    Rule,
    collectives_beside_subgroups,
    dotted_name,
    group_exclusions,
    group_made_for,
    is_without_group,
    misplaced,
    name_group,
    takes_group,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectivelint.api import Analysis, ApiCall, Findings


RULE: Final = Rule(
    "CL101", "missing-group", "a collective without a `group` argument", fix="safe, unsafe", holds="of groups"
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each call without a group, and one for each of any file that a program runs beside its sub-groups."""
    analysis = findings.analysis
    # CL102 says more about these.
    worse = {(call.function.path, call.span) for call, _ in group_exclusions(findings)}
    used = _calls_by_scope(analysis)
    for call in analysis.calls():
        if (
            takes_group(call)
            and is_without_group(call)
            and not misplaced(call)
            and (call.function.path, call.span) not in worse
        ):
            yield _missing(findings, call, used)
    yield from _beside_subgroups(findings)


def _missing(findings: Findings, call: ApiCall, calls: Mapping[tuple[str, str], list[ApiCall]]) -> Report:
    op = call.api.op
    in_function, in_class = (calls.get(scope, []) for scope in _scopes(call))
    meant = group_made_for(findings.analysis.program, call, in_function, in_class)
    message = _default_group(op, waits=call.api.category == "collective")
    if call.group is not None and call.group.constant is not None:
        message = f"the group of `{op}` may be None, which is the default group of every rank in the job"
    trail = [Place(call.function.path, call.span, "collective", f"{op}, default group")]
    names = [item.text for item in call.in_reach if item.is_subgroup]
    advice = "pass the group whose ranks take part"
    if names:
        advice = f"pass {'the group' if len(names) == 1 else 'one of the groups'} in reach: {', '.join(f'`{name}`' for name in names)}"
    if meant is not None:
        owner = "function" if meant.origin == "parameter" else "object"
        message += f", but this {owner} is given `{meant.owner or meant.text}`"
    other = next((other for scope in (in_function, in_class) for other in scope if _has_group(other, scope)), None)
    if other is not None:
        trail.append(Place(call.function.path, other.span, "note", f"{other.api.op}, on {_group_text(other)}"))
    is_sure = meant is not None
    return Report.at(
        call,
        message=message,
        severity="error" if is_sure else "warning",
        trail=tuple(trail),
        help=advice,
        fix=name_group(findings.analysis, call),
        confidence=Confidence.HIGH if is_sure and not _goes_by_numbers(call) else Confidence.LOW,
    )


def _goes_by_numbers(call: ApiCall) -> bool:
    """Whether it is a message to a rank whose number is computed: both sides may go by their numbers in the job."""
    peers = [call.exprs.get(call.api.roles.get(role, "")) for role in ("src", "dst")]
    is_message = call.api.category != "collective"
    return is_message and any(peer is not None and not isinstance(peer, Constant) for peer in peers)


def _default_group(op: str, *, waits: bool) -> str:
    effect = "waits for every rank in the job" if waits else "uses the default group of every rank in the job"
    return f"`{op}` has no `group` argument, so it {effect}"


def _scopes(call: ApiCall) -> tuple[tuple[str, str], tuple[str, str]]:
    """The function around a call, and its class (without one: nothing)."""
    function = call.function
    return (function.path, function.qualname), (function.path, f"class {function.owner or ''}")


def _calls_by_scope(analysis: Analysis) -> dict[tuple[str, str], list[ApiCall]]:
    """By function and by class: the calls of whatever takes a group."""
    found: defaultdict[tuple[str, str], list[ApiCall]] = defaultdict(list)
    for call in analysis.calls():
        if call.api.roles.get("group", "self") != "self" and not misplaced(call):
            in_function, in_class = _scopes(call)
            found[in_function].append(call)
            if call.function.owner is not None:
                found[in_class].append(call)
    return found


def _has_group(call: ApiCall, scope: list[ApiCall]) -> bool:
    """Whether a call runs on a group of some ranks that has this name in all of a scope."""
    group = call.group
    if not takes_group(call) or group is None or group.symbol is WORLD or is_without_group(call):
        return False
    is_local = dotted_name(call.group_expr) in call.local_names if call.group_expr is not None else True
    in_one = all(other.function is call.function for other in scope)
    return not group.reference.everyone and (in_one or not is_local)


def _group_text(call: ApiCall) -> str:
    """The group of a call as it is written there, or the function that gives it."""
    expr = call.group_expr
    name = dotted_name(expr.function if isinstance(expr, Call) else expr) if expr is not None else None
    return f"`{name}{'(...)' if isinstance(expr, Call) else ''}`" if name else "a group"


def _beside_subgroups(findings: Findings) -> Iterator[Report]:
    """The collectives of all ranks that some function reaches beside a call that leaves ranks out of a group."""
    for facts, event, made in collectives_beside_subgroups(findings.analysis):
        where = f"{made.op} at {made.path}:{made.span.line}"
        yield Report(
            event.path,
            event.span,
            event.statement,
            event.function,
            f"{_default_group(event.op, waits=True)}, but the program makes a group that leaves ranks out ({where})",
            "warning",
            (
                Place(event.path, event.span, "collective", f"{event.op}, default group"),
                Place(made.path, made.span, "note", f"{made.op} leaves ranks out"),
            ),
            confidence=Confidence.LOW,
            seen_from=facts.function.path,
        )
