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

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Place,
    Report,
    Rule,
    group_exclusions,
    is_without_group,
    misplaced,
    name_group,
    takes_group,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings


RULE: Final = Rule("CL101", "missing-group", "a collective that does not say which group", fix="safe, unsafe")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each call without a group."""
    made = findings.analysis.making
    # CL102 says more about these.
    worse = {(call.function.path, call.span) for call, _ in group_exclusions(findings)}
    for call in findings.analysis.calls():
        if (
            not takes_group(call)
            or not is_without_group(call)
            or misplaced(call)
            or (call.function.path, call.span) in worse
        ):
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
            fix=name_group(findings.analysis, call),
        )
