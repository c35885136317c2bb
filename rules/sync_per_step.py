"""Reports a metric that is reduced and read on the host in every step.

## What it does
Finds loops whose every iteration runs a blocking `all_reduce` or `reduce` and then reads the same tensor with
`.item()`, `.tolist()`, `float(...)` or `int(...)`. A loop that does so only in some iterations, under a condition, is
not reported.

## Why is this bad
The host waits for the device, and every rank for the slowest one, once per step, for a number that is rarely read.
The device's queue of work runs empty each time.

## Example
```python
import torch
import torch.distributed as dist


def train(batches, step, group: dist.ProcessGroup):
    for batch in batches:
        loss = step(batch)
        dist.all_reduce(loss, group=group)  # CL504
        print(loss.item())
```

## Use instead
```python
import torch
import torch.distributed as dist


def train(batches, step, group: dist.ProcessGroup):
    for number, batch in enumerate(batches):
        loss = step(batch)
        if number % 100 == 0:
            dist.all_reduce(loss, group=group)
            print(loss.item())
```

## References
- [CUDA semantics: asynchronous execution](https://docs.pytorch.org/docs/stable/notes/cuda.html#asynchronous-execution)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Attribute, Call, Evaluate, Loop, Name, Place, Report, Rule, blocks, calls, is_async

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectivelint.api import ApiCall, Block, Findings, Operation, Span


RULE: Final = Rule("CL504", "sync-per-step", "a metric reduced and read on the host in every step", default=False)

_REDUCING: Final[frozenset[Operation]] = frozenset({"all_reduce", "reduce"})
_READING: Final = frozenset({"item", "tolist"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such collective."""
    for facts in findings.analysis.functions:
        known = {call.span: call for call in facts.calls if call.api.operation in _REDUCING and not is_async(call)}
        for call, read in _in_loops(facts.function.body, known) if known else ():
            path = facts.function.path
            yield Report.at(
                call,
                message=f"each iteration waits for `{call.api.op}`, and then for its result on the host",
                severity="warning",
                trail=(
                    Place(path, call.span, "collective", f"{call.api.op}, blocking"),
                    Place(path, read, "note", "the host waits for the result"),
                ),
                help="do it every N steps, or keep the sum on the device and read it at the end",
            )


def _in_loops(block: Block, known: Mapping[Span, ApiCall]) -> Iterator[tuple[ApiCall, Span]]:
    for statement in block:
        if isinstance(statement, Loop):
            yield from _each_turn(statement.body, known)
        for inner in blocks(statement):
            yield from _in_loops(inner, known)


def _each_turn(body: Block, known: Mapping[Span, ApiCall]) -> Iterator[tuple[ApiCall, Span]]:
    """Collectives in the body of a loop itself, each with the later call that reads its result on the host."""
    reduced: dict[str, ApiCall] = {}
    for statement in body:
        for call in calls(statement):
            name = _read(call)
            if name in reduced:
                yield reduced.pop(name), call.span
            found = known.get(call.span)
            if found is not None and isinstance(statement, Evaluate) and call.args and isinstance(call.args[0], Name):
                reduced[call.args[0].id] = found


def _read(call: Call) -> str:
    """The variable that a call reads on the host."""
    match call:
        case Call(function=Attribute(value=Name(id=name), name=method)) if method in _READING:
            return name
        case Call(function=Name(id="float" | "int"), args=(Name(id=name),)):
            return name
        case _:
            return ""
