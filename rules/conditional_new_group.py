"""Reports the making of a process group that not every rank takes part in.

## What it does
`new_group`, `new_subgroups`, `split_group` and `init_device_mesh` have to be called by every rank of the job, also by those
that will not be members, and in the same order. A call that only some ranks reach is reported.
`new_group(..., use_local_synchronization=True)` is called by the members alone, and is silent.

## Why is this bad
Making a group synchronises with all ranks through the store. The ranks that do not call leave the others waiting, or pair
their next `new_group` with this one: groups with the wrong members, and a hang much later.

## Example
```python
import torch.distributed as dist


def make(ranks):
    group = None
    if dist.get_rank() in ranks:
        group = dist.new_group(ranks)  # CL105
    return group
```

## Use instead
```python
import torch.distributed as dist


def make(ranks):
    group = dist.new_group(ranks)
    if dist.get_rank() in ranks:
        return group
    return None
```

## References
- [torch.distributed.new_group](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.new_group)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Rule, condition_text, divergences_of, report_divergence, what_text, why_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings, Report

RULE: Final = Rule("CL105", "conditional-new-group", "a process group that not every rank takes part in making")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts, divergence in divergences_of(findings, "CL105"):
        yield report_divergence(
            facts,
            divergence,
            f"{what_text(divergence)}, but only ranks where {condition_text(findings, divergence)} get there"
            f" ({why_text(divergence)}); every rank of the job has to make the call, members or not",
            "make every group on every rank, in the same order, and keep only one's own",
        )
