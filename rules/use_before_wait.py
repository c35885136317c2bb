"""Reports a buffer that is used while an asynchronous collective still works on it.

## What it does
Finds a statement between a call with `async_op=True` (or `irecv`) and the `wait()` for its handle, in the same block, that
reads or writes the buffer which the call fills. Asking for its shape or its device is fine.

## Why is this bad
Until the wait returns, the buffer holds old values, new ones, or some of each, and what is written into it may be lost.

## Example
```python
import torch.distributed as dist


def mean(value, group: dist.ProcessGroup):
    work = dist.all_reduce(value, group=group, async_op=True)
    result = value / dist.get_world_size(group)  # CL302
    work.wait()
    return result
```

## Use instead
```python
import torch.distributed as dist


def mean(value, group: dist.ProcessGroup):
    work = dist.all_reduce(value, group=group, async_op=True)
    size = dist.get_world_size(group)
    work.wait()
    return value / size
```

## References
- [Synchronous and asynchronous collective operations](https://docs.pytorch.org/docs/stable/distributed.html#synchronous-and-asynchronous-collective-operations)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Place, Report, Rule, used_before_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule(
    "CL302", "use-before-wait", "a buffer used while an asynchronous collective works on it", holds="between ranks"
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each call whose buffer is used too early."""
    for facts in findings.analysis.functions:
        if not facts.calls:
            continue
        for found in used_before_wait(facts.function, facts.calls, findings.analysis.catalog):
            path = facts.function.path
            yield Report(
                path=path,
                span=found.use,
                statement=found.use,
                function=facts.function.qualname,
                message=f"`{found.buffer}` is used before `{found.call.api.op}`, which fills it, has been waited for",
                severity="error",
                trail=(
                    Place(path, found.call.span, "collective", f"{found.call.api.op} starts to fill `{found.buffer}`"),
                    Place(path, found.use, "note", f"`{found.buffer}` is used"),
                    Place(path, found.wait, "note", "it is waited for"),
                ),
                help="wait first",
            )
