"""Reports buffers of another size than what the collective puts into them.

## What it does
Follows which group's size a list was made with (`[None] * dist.get_world_size()`), and compares it with the group of
the collective that fills it. Reported is a list of the size of the default group for a collective on a sub-group, or the
other way round; and a broadcast whose root sends a list that has grown, while the others made a buffer of a fixed size.

## Why is this bad
`all_gather` checks the length on some backends and fails; others write what there is and leave the rest as it was, so the
result silently holds empty or stale entries.

## Example
```python
import torch.distributed as dist


def collect(item, group: dist.ProcessGroup):
    parts = [None for _ in range(dist.get_world_size())]
    dist.all_gather_object(parts, item, group=group)  # CL104
    return parts
```

## Use instead
```python
import torch.distributed as dist


def collect(item, group: dist.ProcessGroup):
    parts = [None for _ in range(dist.get_world_size(group))]
    dist.all_gather_object(parts, item, group=group)
    return parts
```

## References
- [torch.distributed.all_gather_object](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.all_gather_object)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.analysis.values import WORLD
from collectivelint.rule import Findings, Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.analysis.values import Value

RULE: Final = Rule("CL104", "wrong-group-size", "results sized for another group, or another sender, than there is")


def _is_opaque(group: Value) -> bool:
    """Is it what some function gave back, and nothing else is known of it?"""
    return group.type is None and not group.partial and (group.was or group.form).endswith(")")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such list, and for each buffer that does not fit what its root sends."""
    for call in findings.analysis.calls():
        if call.api.category != "collective":
            continue
        length = call.values["tensor"].length if call.api.op == "broadcast" and "tensor" in call.values else None
        if length is not None and length.kind == "mixed":
            yield Report.at(
                call,
                message="the root broadcasts as many elements as its list happens to have, the others receive into a"
                " buffer of a fixed size",
                severity="error",
                trail=(
                    Place(length.cause.path, length.cause.span, "source", "the list grows here"),
                    Place(call.function.path, call.span, "collective", "broadcast"),
                ),
                help="fill the list up to the size of the buffer, or broadcast its length first",
            )
            continue
        key = WORLD if call.group is None else call.group.group_key
        if call.group is not None and call.group.everyone:
            continue
        for name in (*call.api.uniform, *call.api.receives):
            value = call.values.get(name)
            if value is None or value.size_of is None or value.size_of == key:
                continue
            if WORLD not in (value.size_of, key):
                # Two groups that are not all ranks may well be one under two names.
                continue
            if value.size_of == WORLD and call.group is not None and _is_opaque(call.group):
                # It may well be a group of all ranks, on another backend.
                continue
            have = "the default group" if value.size_of == WORLD else "another group"
            runs = "the default group" if key == WORLD else "its group"
            yield Report.at(
                call,
                message=f"`{name}` of `{call.api.op}` has one entry for each rank of {have}, but the collective runs on"
                f" {runs}",
                severity="error",
                trail=(Place(call.function.path, call.span, "collective", f"{call.api.op}, {runs}"),),
                help="take the size from the group that the collective runs on: `dist.get_world_size(group)`",
            )
