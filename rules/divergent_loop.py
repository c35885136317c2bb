"""Reports a collective in a loop whose number of iterations differs between ranks.

## What it does
Finds loops whose number of turns depends on something that differs between ranks, and whose body reaches a collective:
`while not queue.empty()`, a `while` over a clock, a `for` over files this rank sees, over every n-th item from its rank on,
over a list that was filtered or filled by a condition of this rank, over the pieces that a model's input is cut into, over
names that the layers of a pipeline stage have recorded, over what a function has made of a number on which ranks would
agree if the call passed a group (`if group is not None: dist.all_reduce(count, op=MAX, group=group)`), and loops that a rank leaves where its own loader has ended (`except
StopIteration: break`) unless the file makes loaders of equal length, with a `DistributedSampler` for instance.

## Why is this bad
The rank with the longest loop waits in its last turns for ranks that have long left theirs.

## Example
```python
import torch.distributed as dist


def evaluate(model, samples, total, group: dist.ProcessGroup):
    for sample in samples[dist.get_rank(group) :: dist.get_world_size(group)]:
        total += model(sample)
        dist.all_reduce(total, group=group)  # CL205
```

## Use instead
```python
import torch.distributed as dist


def evaluate(model, samples, total, group: dist.ProcessGroup):
    for sample in samples[dist.get_rank(group) :: dist.get_world_size(group)]:
        total += model(sample)
    dist.all_reduce(total, group=group)
```

Where the collective belongs in the loop, let all ranks make as many turns as the longest one: reduce the number of turns
with MAX first, and pad.

## References
- [Join: uneven inputs](https://docs.pytorch.org/tutorials/advanced/generic_join.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Rule, divergences_of, loop_advice, loop_text, report_divergence, subject_text, why_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings, Report

RULE: Final = Rule(
    "CL205",
    "divergent-loop",
    "a collective in a loop whose number of iterations differs between ranks",
    holds="where ranks differ",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each collective, or call that leads to collectives, in such a loop."""
    for facts, divergence in divergences_of(findings, "CL205"):
        yield report_divergence(
            facts,
            divergence,
            f"{subject_text(divergence)} runs once per iteration of {loop_text(findings, divergence)},"
            f" and ranks may make a different number of iterations: it depends on {why_text(divergence)}",
            loop_advice(divergence),
        )
