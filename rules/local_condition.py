"""Reports a collective under a condition that can differ between ranks.

## What it does
Follows values that differ between ranks without depending on a rank number: the state of the file system, clocks,
random numbers, process and memory figures, queues, polls of background work, flags set by signal handlers, the size
and the values of this rank's data: whether the loss of its batch is NaN, whether a mask selects anything. If such a
value decides whether a collective is reached, it is reported, also through variables, attributes, calls and returned
values. A decision that was broadcast or reduced is the same on all ranks, and is not reported.

A rank's own data is a batch that trains (`for batch in loader: ... loss.backward()`), what a framework passes to
`forward` or `training_step`, and everything computed from these; not shapes, types and keys, and not in groups whose
ranks share a batch. Confidence is medium: the hang needs a rank whose data differs from that of the other ranks.

Where the file system alone decides, the confidence is
- **medium** if the condition itself checks for a path (or whether a search found anything) that is created or removed
  in one of its branches, or by one rank before it, and the ranks do not synchronise in between; or if the same path
  is checked again, and the result used, in every iteration of a loop that runs collectives;
- **low** otherwise: a result that is stored and compared later (a checkpoint to resume from, the epoch to start
  with), a path that no code was found to create or remove meanwhile, a folder that is created where its files are
  listed.

## Why is this bad
The condition seems to be the same everywhere, and usually it is. Then one node sees the file a second later, or one
rank reaches the time limit first, and the ranks take different branches: some wait in a collective that the others
never call.

## Example
```python
import os

import torch.distributed as dist


def fetch(path, download, group: dist.ProcessGroup):
    if not os.path.exists(path):
        if dist.get_rank(group) == 0:
            download(path)
        dist.barrier(group=group)  # CL203
```

## Use instead
```python
import os

import torch.distributed as dist


def fetch(path, download, group: dist.ProcessGroup):
    if dist.get_rank(group) == 0 and not os.path.exists(path):
        download(path)
    dist.barrier(group=group)
```

## References
- [torch.distributed: broadcast_object_list](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.broadcast_object_list)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Rule,
    clause_text,
    condition_text,
    divergences_of,
    report_divergence,
    sharing_fix,
    why_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings, Report

RULE: Final = Rule(
    "CL203",
    "local-condition",
    "a collective under a condition that can differ between ranks",
    holds="where ranks differ",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each collective, or call that leads to collectives, in an arm of such a condition."""
    for facts, divergence in divergences_of(findings, "CL203"):
        yield report_divergence(
            facts,
            divergence,
            f"{clause_text(divergence)} only where {condition_text(findings, divergence)},"
            f" which can differ between ranks: it depends on {why_text(divergence)}",
            "decide once and share it: broadcast or all_reduce the decision before branching",
            fix=sharing_fix(findings, facts, divergence),
        )
