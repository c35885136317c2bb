"""Reports a process group that is destroyed in a `finally`.

## What it does
Finds `destroy_process_group` in the `finally` of a `try`, or in an `__exit__` that does not check for an exception,
directly or in a function called there: it also runs when only this rank has failed.

## Why is this bad
The other ranks are in a collective with this one. With NCCL, destroying the group waits for the work queued on the
device, which never ends: the rank that failed hangs in its clean-up, its exception is not shown, and torchrun, which
would have stopped the other ranks, notices the failure only at the watchdog's timeout.

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

from collectivelint.api import Call, Place, Report, Rule, Target, Try, blocks, calls, dotted_name, expressions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Analysis, ApiCall, Block, Findings, FunctionFacts, Span


RULE: Final = Rule(
    "CL603", "unsafe-teardown", "a process group destroyed in a `finally` when only this rank failed", default=False
)
#: Calls on the way to where the group is destroyed.
_DEEPEST: Final = 3


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts in findings.analysis.functions:
        for call, statement in _always(facts):
            found = _destroying(findings.analysis, facts, call, _DEEPEST)
            if found is None:
                continue
            path = facts.function.path
            through = (
                () if found.span == call.span else (Place(path, call.span, "call", "also runs after an exception"),)
            )
            yield Report(
                path=path,
                span=call.span,
                statement=statement,
                function=facts.function.qualname,
                message="the process group is also destroyed when only this rank has failed; that may hang",
                severity="warning",
                trail=(*through, Place(found.function.path, found.span, "note", "runs after an exception as well")),
                help="destroy it only after success; after an exception let the process end",
            )


def _always(facts: FunctionFacts) -> Iterator[tuple[Call, Span]]:
    """The calls that also run after an exception, each with its statement."""
    function = facts.function
    if function.qualname.rpartition(".")[2] in ("__exit__", "__aexit__") and function.owner is not None:
        given = {parameter.name for parameter in function.params[1:]}
        if not given & {dotted_name(expr) for expr in expressions(function.body)}:
            yield from ((expr, expr.span) for expr in expressions(function.body) if isinstance(expr, Call))
    yield from _finally(function.body)


def _destroying(analysis: Analysis, facts: FunctionFacts, call: Call, depth: int) -> ApiCall | None:
    """The call that destroys the default group, which a call is or leads to."""
    known = facts.calls_at.get(call.span)
    if known is not None:
        return known if known.api.operation == "destroy" and known.group is None else None
    function, name = facts.function, dotted_name(call.function)
    if name is None or depth == 0:
        return None
    owner, _, method = name.partition(".")
    if function.owner is not None and function.params and owner == function.params[0].name and "." not in method:
        target = analysis.program.method(Target("class", function.path, function.owner), method)
    else:
        target = analysis.program.resolve(function.path, name)
    if target is None or target.kind != "function":
        return None
    called = analysis.facts_for(function.path, target)
    if called is None or called.function is function:
        return None
    for expr in expressions(called.function.body):
        found = _destroying(analysis, called, expr, depth - 1) if isinstance(expr, Call) else None
        if found is not None:
            return found
    return None


def _finally(block: Block, *, inside: bool = False) -> Iterator[tuple[Call, Span]]:
    """The calls that stand in a `finally`."""
    for statement in block:
        if inside:
            yield from ((call, statement.span) for call in calls(statement))
        if isinstance(statement, Try):
            for inner in (statement.body, *(handler for _, _, handler in statement.handlers), statement.orelse):
                yield from _finally(inner, inside=inside)
            yield from _finally(statement.final, inside=True)
        else:
            for inner in blocks(statement):
                yield from _finally(inner, inside=inside)
