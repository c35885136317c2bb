"""Reports ranks that leave on a condition of their own while a collective lies ahead of the others.

## What it does
Finds `return`, `break` and `continue` under a condition that differs between ranks (a rank, the clock, the file system,
the size of this rank's data, ...) where the ranks that stay run a collective afterwards that those that left do not run.
What the leaving ranks run before they go counts: the same collectives in another place are fine. A `raise` is not
reported unless it is caught again, because a rank that dies takes the job with it.

## Why is this bad
The ranks that left never call the collective. The others wait for them until the process group times out.

## Example
```python
import time

import torch.distributed as dist


def train(steps, deadline, group: dist.ProcessGroup):
    for step in steps:
        loss = step()
        if time.time() > deadline:
            break
        dist.all_reduce(loss, group=group)  # CL202
```

## Use instead
```python
import time

import torch
import torch.distributed as dist


def train(steps, deadline, group: dist.ProcessGroup):
    for step in steps:
        loss = step()
        late = torch.tensor(time.time() > deadline)
        dist.all_reduce(late, op=dist.ReduceOp.MAX, group=group)
        if late.item():
            break
        dist.all_reduce(loss, group=group)
```

## References
- [torch.distributed: Collective functions](https://docs.pytorch.org/docs/stable/distributed.html#collective-functions)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.rule import Findings, Report, Rule

from .trails import condition_text, diverging, report, what_text, why_text

if TYPE_CHECKING:
    from collections.abc import Iterator

RULE: Final = Rule("CL202", "divergent-exit", "ranks leave on a condition of their own while a collective lies ahead")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each collective, or call that leads to collectives, that ranks leave behind."""
    for facts, divergence in diverging(findings, "CL202"):
        yield report(
            facts,
            divergence,
            f"{what_text(divergence)} lies ahead only where {condition_text(findings, divergence)};"
            f" the other ranks have left ({why_text(divergence)})",
            "decide together: broadcast or all_reduce the decision before anybody leaves",
        )
