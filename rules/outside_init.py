"""Reports a collective where there is no process group yet, or none any more.

## What it does
Looks at statements that follow each other: a collective before the `init_process_group` of the same block, or after its
`destroy_process_group()`, with no call in between that could have made or ended the group as well.

## Why is this bad
The call raises on every rank, at the start of the job at best, and at its very end, after hours of training and before
the last checkpoint, at worst.

## Example
```python
import torch.distributed as dist


def finish(loss, group: dist.ProcessGroup):
    dist.destroy_process_group()
    dist.all_reduce(loss, group=group)  # CL605
```

## Use instead
```python
import torch.distributed as dist


def finish(loss, group: dist.ProcessGroup):
    dist.all_reduce(loss, group=group)
    dist.destroy_process_group()
```

## References
- [torch.distributed: Shutdown](https://docs.pytorch.org/docs/stable/distributed.html#shutdown)
"""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final

from collectivelint.analysis.handles import blocks, calls_in
from collectivelint.analysis.names import plain
from collectivelint.rule import Findings, Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectivelint.analysis.facts import ApiCall
    from collectivelint.events import Block, Call, Span

RULE: Final = Rule("CL605", "outside-init", "a collective before the process group is there, or after it is gone")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts in findings.analysis.functions:
        if not any(call.api.category == "lifecycle" for call in facts.calls):
            continue
        by_span = {call.span: call for call in facts.calls}
        for call, end in _outside(facts.function.body, by_span):
            when = "after" if end.api.op == "destroy_process_group" else "before"
            yield Report.at(
                call,
                message=f"`{call.api.op}` runs {when} `{end.api.op}`, where there is no process group",
                severity="error",
                trail=(
                    Place(call.function.path, end.span, "note", end.api.op),
                    Place(call.function.path, call.span, "collective", call.api.op),
                ),
                help="move it to where the group exists",
            )


def _outside(block: Block, by_span: Mapping[Span, ApiCall]) -> Iterator[tuple[ApiCall, ApiCall]]:
    """(collective, the call that makes or ends the default group) in one block, and in those inside."""
    since: list[ApiCall] = []
    gone: ApiCall | None = None
    for statement in block:
        for part in calls_in(statement):
            call = by_span.get(part.span)
            if call is None:
                if not _is_harmless(part):
                    # It may make or end the group itself.
                    since, gone = [], None
                continue
            if call.api.category == "collective":
                since.append(call)
                if gone is not None:
                    yield call, gone
            elif call.api.op == "init_process_group":
                if gone is None:
                    yield from ((early, call) for early in since)
                since, gone = [], None
            elif call.api.op == "destroy_process_group":
                since = []
                gone = call if not call.values and not call.call.spread else None
        for inner in blocks(statement):
            yield from _outside(inner, by_span)
            if _mentions_lifecycle(inner, by_span):
                # What happens in there is known only where it happens.
                since, gone = [], None


#: Modules, and usual names of loggers, whose calls have nothing to do with process groups.
_HARMLESS: Final = frozenset(
    {"torch", "time", "os", "sys", "math", "np", "numpy", "random", "logging", "logger", "log"}
)


def _is_harmless(call: Call) -> bool:
    name = plain(call.function)
    if name is None or "distributed" in name:
        return False
    head, _, rest = name.partition(".")
    return head in _HARMLESS if rest else head in dir(builtins)


def _mentions_lifecycle(block: Block, by_span: Mapping[Span, ApiCall]) -> bool:
    for statement in block:
        for part in calls_in(statement):
            call = by_span.get(part.span)
            if call is not None and call.api.category == "lifecycle":
                return True
        if any(_mentions_lifecycle(inner, by_span) for inner in blocks(statement)):
            return True
    return False
