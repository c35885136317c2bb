"""Reports a collective before the process group is initialised, or after it is destroyed.

## What it does
Looks at statements that follow each other: a collective before the `init_process_group` of the same block, or after
its `destroy_process_group()`, with no call in between that could have created or destroyed the group as well.

## Why is this bad
The call raises on every rank, at the start of the job at best, and at its very end, after hours of training and before
the last checkpoint, at worst.

## Example
```python
import torch.distributed as dist


def finish(loss, group: dist.ProcessGroup):
    dist.destroy_process_group()
    dist.all_reduce(loss, group=group)  # CL605
```

## Use instead
```python
import torch.distributed as dist


def finish(loss, group: dist.ProcessGroup):
    dist.all_reduce(loss, group=group)
    dist.destroy_process_group()
```

## References
- [torch.distributed: Shutdown](https://docs.pytorch.org/docs/stable/distributed.html#shutdown)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Place, Report, Rule, outside_default_group

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule(
    "CL605", "outside-init", "a collective before the process group is initialised, or after it is destroyed"
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts in findings.analysis.functions:
        for call, end in outside_default_group(findings.analysis.program, facts):
            when = "after" if end.api.operation == "destroy" else "before"
            yield Report.at(
                call,
                message=f"`{call.api.op}` runs {when} `{end.api.op}`, where there is no process group",
                severity="error",
                trail=(
                    Place(call.function.path, end.span, "note", end.api.op),
                    Place(call.function.path, call.span, "collective", call.api.op),
                ),
                help="move it to where the process group exists",
            )
