"""Reports a buffer that is used while an asynchronous collective or copy still works on it.

## What it does
Finds a statement between a call with `async_op=True` (or `irecv`) and the `wait()` for its handle, in the same block,
that reads or writes the buffer which the call fills. Reading its shape or its device is fine.

Also finds state that was copied to the host with `non_blocking=True` and is written to disk, by the same function or
one inside it, with no synchronisation with the device in between.

## Why is this bad
Until the wait returns, the buffer holds old values, new ones, or some of each, and a value that is written into it
may be lost.

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

from collectivelint.api import Place, Report, Rule, is_test, statement_at, unsettled_copies, used_before_wait

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings, FunctionFacts

RULE: Final = Rule(
    "CL302",
    "use-before-wait",
    "a buffer used before the asynchronous collective on it has finished",
    holds="between ranks",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each call whose buffer is used too early."""
    distributed = findings.analysis.distributed()
    writers: dict[str, list[FunctionFacts]] = {}
    for facts in findings.analysis.functions:
        if any(use.state is not None for use in facts.files):
            writers.setdefault(facts.function.path, []).append(facts)
    for facts in findings.analysis.functions:
        path = facts.function.path
        if path in writers and path in distributed and not is_test(path):
            yield from _copied(findings, facts, writers[path])
        if not facts.calls:
            continue
        for found in used_before_wait(facts.function, facts.calls, findings.analysis.catalog):
            yield Report(
                path=path,
                span=found.use,
                statement=found.use,
                function=facts.function.qualname,
                message=f"`{found.buffer}` is used before the `{found.call.api.op}` that fills it has been waited for",
                severity="error",
                trail=(
                    Place(path, found.call.span, "collective", f"{found.call.api.op} starts to fill `{found.buffer}`"),
                    Place(path, found.use, "note", f"`{found.buffer}` is used"),
                    Place(path, found.wait, "note", "it is waited for"),
                ),
                help="wait for the work handle first",
            )


def _copied(findings: Findings, facts: FunctionFacts, writers: list[FunctionFacts]) -> Iterator[Report]:
    """State that is written before it has arrived in host memory, by one of the functions of a file that write state."""
    path, prefix = facts.function.path, f"{facts.function.qualname}.<locals>."
    own = [other for other in writers if other is facts or other.function.qualname.startswith(prefix)]
    for copy, name, use in unsettled_copies(facts, own, findings.analysis.catalog.waiting_words) if own else ():
        yield Report(
            path=path,
            span=copy,
            statement=statement_at(facts, copy),
            function=facts.function.qualname,
            message=f"`{name}` is written to disk, and nothing waits until this asynchronous copy is complete",
            severity="error",
            trail=(
                Place(path, copy, "source", "starts an asynchronous copy to the host"),
                Place(path, use.span, "note", f"`{name}` is written"),
            ),
            help="leave `non_blocking` out, or call `torch.cuda.synchronize()` before it is written",
        )
