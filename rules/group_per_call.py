"""Reports a process group that is created repeatedly.

## What it does
Finds a group that is created in a loop without depending on its iteration, or in a `forward` or `step` method.

## Why is this bad
A process group holds communicators, memory on the device and threads until it is destroyed, and creating one is a
rendezvous of all ranks. One group per step exhausts the memory after some hours.

## Example
```python
import torch.distributed as dist


def train(batches, step):
    for batch in batches:
        group = dist.new_group()  # CL106
        step(batch, group)
```

## Use instead
```python
import torch.distributed as dist


def train(batches, step):
    group = dist.new_group()
    for batch in batches:
        step(batch, group)
```

## References
- [torch.distributed.destroy_process_group](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.destroy_process_group)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule("CL106", "group-per-call", "a process group created repeatedly", default=False, holds="of groups")

#: Methods that run in every step.
_PER_STEP: Final = ("forward", "__call__", "step", "training_step", "backward")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for call in findings.analysis.calls():
        if call.api.category != "group_constructor":
            continue
        # `for ranks in lists: new_group(ranks)` makes every group once.
        repeated = bool(call.turns) and not any(value.symbol.has_place for value in call.values.values())
        method = call.function.qualname.rpartition(".")[2]
        if not repeated and not (call.function.owner is not None and method in _PER_STEP):
            continue
        yield Report.at(
            call,
            message=f"`{call.api.op}` creates a new group "
            + ("in every iteration of the loop" if repeated else f"in every call of `{method}`"),
            severity="warning",
            trail=(Place(call.function.path, call.span, "collective", call.api.op),),
            help="create the group once and keep it",
        )
