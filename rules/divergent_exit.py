"""Reports a `return`, `break` or `continue` that makes some ranks skip a later collective.

## What it does
Finds `return`, `break` and `continue` under a condition that differs between ranks (a rank, the clock, the file
system, the size of this rank's data, a loss of this rank that is NaN, an empty list of granted requests, ...) after
which the remaining ranks run a collective that the ranks that left do not run. Collectives that the leaving ranks run
before they leave count: the same collectives in another place are fine. A `raise` is not reported unless it is caught
again, because the launcher ends the job when a rank fails; but a last `else: raise` is, if ranks reach it only
because an earlier branch was for another rank (`if mode == "a" and rank == 0` ... `else: raise`).

Confidence is low if the exit depends on a flag that starts as False and that nothing in the program sets (`if
hooks.stop: return`): only code outside the program could set it.

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

from collectivelint.api import (
    Place,
    Report,
    Rule,
    cause_text,
    condition_text,
    divergences_of,
    report_divergence,
    sharing_fix,
    subject_text,
    why_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule(
    "CL202",
    "divergent-exit",
    "a return, break or continue that makes some ranks skip a later collective",
    holds="where ranks part",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each collective, or call that leads to collectives, that ranks leave behind."""
    for facts, divergence in divergences_of(findings, "CL202"):
        yield report_divergence(
            facts,
            divergence,
            f"ranks where {condition_text(findings, divergence, reached=False)} leave before {subject_text(divergence)}"
            f" and the other ranks wait in it; the condition depends on {why_text(divergence)}",
            "decide together: broadcast or all_reduce the decision before any rank leaves",
            # A condition on ranks is meant to differ.
            fix=None if "rank" in divergence.kinds else sharing_fix(findings, facts, divergence),
        )
    for facts, guard, span, event in findings.analysis.fallen():
        yield Report(
            path=facts.function.path,
            span=span,
            statement=span,
            function=facts.function.qualname,
            message=f"ranks where only the rank check in `{findings.text(guard.path, guard.span)}` is false reach this"
            f" `raise`, while the other ranks go on to `{event.op}`",
            severity="error",
            trail=(
                *(Place(cause.path, cause.span, "source", cause_text(cause)) for cause in guard.causes),
                Place(guard.path, guard.span, "condition", "condition"),
                Place(facts.function.path, event.place[0], "collective", f"leads to {event.op}"),
            ),
            help="check the rank inside the branch, so that the other ranks do not fall through to the last one",
        )
