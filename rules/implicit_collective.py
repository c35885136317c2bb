"""Reports a framework call that runs collectives and that only some ranks reach.

## What it does
Knows calls that do not look like collectives but are: gathering a sharded state dict, `full_tensor()`, saving a
checkpoint with DCP, FSDP, DeepSpeed, Accelerate or Lightning, consolidating a sharded optimizer. One that is reached
under a condition that differs between ranks is reported, with the reason why every rank has to reach it.

Some are collectives with sharded models only (`Accelerator.save_state`). Confidence is low if nothing in the program
shards a model or checks whether it is sharded. It is medium if the class only checks whether its model is wrapped
(`isinstance(self.model, FSDP)`), and for a schedule of Megatron that runs a different number of micro-batches on each
rank.

State that a framework reads on every rank counts as well: a callback that sets `trainer.should_stop`, or a flag of
the `control` of the Trainer of transformers, on rank 0 only ends the training there, while the other ranks go on to
the collectives of the next step. So does the first read of metrics that are reduced when they are read
(`trainer.callback_metrics`), with low confidence: in most hooks Lightning has read them before.

## Why is this bad
"Only rank 0 saves" is right for a file and wrong for these calls: rank 0 enters a gather and waits for the shards of
ranks that skip it.

## Example
```python
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor


def export(weight: DTensor, path):
    if dist.get_rank() == 0:
        torch.save(weight.full_tensor(), path)  # CL208
```

## Use instead
```python
import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor


def export(weight: DTensor, path):
    whole = weight.full_tensor()
    if dist.get_rank() == 0:
        torch.save(whole, path)
```

## References
- [DTensor.full_tensor](https://docs.pytorch.org/docs/stable/distributed.tensor.html#torch.distributed.tensor.DTensor.full_tensor)
- [torch.distributed.checkpoint](https://docs.pytorch.org/docs/stable/distributed.checkpoint.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Rule,
    condition_text,
    divergences_of,
    loop_advice,
    loop_text,
    report_divergence,
    subject_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings, Report

RULE: Final = Rule(
    "CL208",
    "implicit-collective",
    "a framework call that runs collectives and that only some ranks reach",
    holds="where ranks part",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call, or call of the program that leads to one."""
    for facts, divergence in divergences_of(findings, "CL208"):
        if divergence.where == "exit":
            reach = f"is reached only where {condition_text(findings, divergence)}; the other ranks leave before it"
        elif divergence.where == "loop":
            loop = loop_text(findings, divergence)
            reach = f"runs once per iteration of {loop}, and ranks may make a different number of iterations"
        else:
            reach = f"is reached only where {condition_text(findings, divergence)}"
        reason = divergence.event.why
        duty = "has to run it equally often" if divergence.where == "loop" else "has to reach it"
        is_set = divergence.event.operation == "set"
        advice = "let every rank reach it; keep only single-rank work inside the condition"
        if is_set:
            advice = "decide together: broadcast or all_reduce the decision, and set it on every rank"
        yield report_divergence(
            facts,
            divergence,
            f"{subject_text(divergence)} {reach}, but every rank {'reads it' if is_set else duty}"
            + (f": {reason}" if reason else ""),
            loop_advice(divergence) if divergence.where == "loop" else advice,
        )
