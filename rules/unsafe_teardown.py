"""Reports a process group that is destroyed in a `finally`.

## What it does
Finds `destroy_process_group` in the `finally` of a `try`: it also runs when only this rank has failed.

## Why is this bad
The other ranks are in a collective with this one. With NCCL, destroying the group waits for what is queued on the device,
which will never end: the rank that failed hangs in its clean-up, its exception is not shown, and torchrun, which would have
stopped the others, does not learn of it before the watchdog's timeout.

## Example
```python
import torch.distributed as dist


def main(train):
    dist.init_process_group("nccl")
    try:
        train()
    finally:
        dist.destroy_process_group()  # CL603
```

## Use instead
```python
import torch.distributed as dist


def main(train):
    dist.init_process_group("nccl")
    train()
    dist.destroy_process_group()
```

## References
- [Shutdown](https://docs.pytorch.org/docs/stable/distributed.html#shutdown)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Place, Report, Rule, Try, blocks, calls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Block, Findings, Span


RULE: Final = Rule(
    "CL603", "unsafe-teardown", "a process group destroyed although only this rank failed", default=False
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts in findings.analysis.functions:
        destroying = {call.span: call for call in facts.calls if call.api.operation == "destroy"}
        for span in _finally(facts.function.body) if destroying else ():
            if (call := destroying.get(span)) is not None:
                yield Report.at(
                    call,
                    message="the process group is also destroyed when only this rank has failed; that may hang",
                    severity="warning",
                    trail=(Place(call.function.path, call.span, "note", "runs after an exception as well"),),
                    help="destroy it where the work has ended well; after an exception let the process end",
                )


def _finally(block: Block, *, inside: bool = False) -> Iterator[Span]:
    """The calls that stand in a `finally`."""
    for statement in block:
        if inside:
            yield from (call.span for call in calls(statement))
        if isinstance(statement, Try):
            for inner in (statement.body, *(handler for _, _, handler in statement.handlers), statement.orelse):
                yield from _finally(inner, inside=inside)
            yield from _finally(statement.final, inside=True)
        else:
            for inner in blocks(statement):
                yield from _finally(inner, inside=inside)
