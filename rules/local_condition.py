"""Reports a collective under a condition that can differ between ranks.

## What it does
Follows values that differ between ranks without depending on a rank number: the state of the file system, clocks, random
numbers, process and memory figures, queues, polls of background work, flags set by signal handlers, sizes of this
rank's data, and what is in them: whether the loss of this rank's batch is a number, whether a mask selects anything. If such a
value decides whether a collective is reached, it is reported, also through variables,
attributes, calls and returned values. A decision that was broadcast or reduced is the same on all ranks, and silent.

What is in a rank's own data is asked about a batch that trains (`for batch in loader: ... loss.backward()`), about what a
framework calls `forward` or `training_step` with, and all that is made of them; not about shapes, types and keys, not in
groups whose ranks share a batch, and with medium confidence: it takes a rank whose data are unlike those of the others.

Where the file system alone decides, the confidence is
- **medium** if the condition itself asks for a path (or whether a look-up has found anything) that is created or removed under
  one of its answers, or by one rank before it, and not all ranks meet in between; or if one and the same path is looked for
  again, and the answer used, in every turn of a loop that runs collectives;
- **low** for all else: an answer that is kept and compared later (a checkpoint to resume from, the epoch to start with), a path
  that no rank is seen to create or remove then, a folder that is made where its files are listed.

## Why is this bad
The condition seems to be the same everywhere, and mostly it is. Then one node sees the file a second later, or one rank
reaches the time limit first, and the ranks take different branches: some wait in a collective that the others never call.

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
