"""Reports a root that differs between ranks.

## What it does
Finds `src` or `dst` of a collective that differs between the ranks of its group, such as `src=dist.get_rank()`, or is
a rank of the node (`LOCAL_RANK`), outside of a condition that is true only on the root.

## Why is this bad
Each rank is its own root: every rank sends and no rank receives. Some backends hang, others leave every rank with its
own data, as if there had been no broadcast.

## Example
```python
import torch.distributed as dist


def share(weights, group: dist.ProcessGroup):
    dist.broadcast(weights, src=dist.get_rank(), group=group)  # CL108
```

## Use instead
```python
import torch.distributed as dist


def share(weights, group: dist.ProcessGroup):
    dist.broadcast(weights, src=dist.get_global_rank(group, 0), group=group)
```

## References
- [torch.distributed.broadcast](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.broadcast)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import PLACES, WORLD, Place, Report, Rule, agreed_roles, cause_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule("CL108", "divergent-argument", "a root that differs between ranks", holds="of groups")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such argument."""
    for call in findings.analysis.calls():
        if call.api.category != "collective" or call.guards or call.conditional:
            # Under a condition this may well be the one rank that sends.
            continue
        key = WORLD if call.group is None else call.group.group_key
        for role in agreed_roles(call.api.operation, "root"):
            value = call.values.get(call.api.roles.get(role, ""))
            if value is None or value.reference.kind != "rank":
                continue
            varies = value.uniformity.varies
            if not varies & {WORLD, key} and not (varies and varies <= PLACES):
                continue
            if any(value.symbol.parameter == item.name for item in call.function.params):
                # A parameter called `rank` is often the root.
                continue
            yield Report.at(
                call,
                message=f"`{role}` of `{call.api.op}` is this rank's own number, so every rank passes a different root",
                severity="error",
                trail=(
                    *(Place(cause.path, cause.span, "source", cause_text(cause)) for cause in value.uniformity.causes),
                    Place(call.function.path, call.span, "collective", call.api.op),
                ),
                help="pass one rank that is the same on all ranks",
            )
