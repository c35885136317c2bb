"""Reports an option of a distributed checkpoint that does not have the intended effect.

## What it does
- An argument that no longer has an effect: `DefaultSavePlanner(dedup_replicated_tensors=...)`.
- `no_dist=True`, reached by all ranks of a distributed function with one folder.
- `async_save`, followed by another collective of Python objects, or a barrier, on the same group before the save has ended.

## Why is this bad
The first changes nothing: tensors with the same name count as replicas, and one of them is kept. With the second,
every rank overwrites the checkpoint of the other ranks, and the result is a mixture. In the third, a thread runs
collectives on the group at the same time as the function: their calls are paired with each other, and hang or
exchange the wrong data.

## Example
```python
import torch.distributed as dist
import torch.distributed.checkpoint as dcp


def save(state, folder, group: dist.ProcessGroup):
    dcp.save(state, checkpoint_id=folder, no_dist=True)  # CL410
    dist.barrier(group=group)
```

## Use instead
```python
import torch.distributed as dist
import torch.distributed.checkpoint as dcp


def save(state, folder, group: dist.ProcessGroup):
    dcp.save(state, checkpoint_id=folder, process_group=group)
```

## References
- [torch.distributed.checkpoint](https://docs.pytorch.org/docs/stable/distributed.checkpoint.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import WORLD, Attribute, Place, Report, Rule, call_fix, expressions, following, is_test

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import ApiCall, Event, Findings, FixBuilder, FunctionFacts, Operation


RULE: Final = Rule(
    "CL410", "checkpoint-option", "a checkpoint option that does not have the intended effect", holds="in programs"
)

#: Operations that the thread of an asynchronous save gets in the way of: it exchanges plans as Python objects.
_CONFLICTS: Final[frozenset[Operation]] = frozenset(
    {
        *("barrier", "monitored_barrier", "broadcast_object", "all_gather_object", "gather_object"),
        *("scatter_object", "save", "async_save", "load"),
    }
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts in findings.analysis.functions:
        for call in facts.calls:
            if call.api.ignored is not None and call.api.ignored in call.values:
                yield Report.at(
                    call,
                    message=f"`{call.api.ignored}` no longer has an effect; of tensors with the same name, that of one rank is kept either way",
                    severity="warning",
                    trail=(Place(call.function.path, call.span, "note", "the argument is ignored"),),
                    help="leave it out; DTensor parameters tell the checkpoint which part each rank has",
                    fix=_without(call, call.api.ignored),
                )
            elif _overwrites(facts, call) and not is_test(call.function.path):
                yield Report.at(
                    call,
                    message=f"all ranks reach `{call.api.op}` with `no_dist`, and overwrite each other's checkpoint",
                    severity="error",
                    trail=(
                        Place(call.function.path, call.span, "note", "every rank saves as if it were the only one"),
                    ),
                    help="leave `no_dist` out, or let one rank save",
                    fix=_without(call, "no_dist"),
                )
            elif (other := _conflict(facts, call)) is not None:
                yield Report.at(
                    call,
                    message=f"`{call.api.op}` still runs on its group when `{other.op}` is called on the same group",
                    severity="warning",
                    trail=(
                        Place(call.function.path, call.span, "collective", "continues in a thread"),
                        Place(other.path, other.span, "collective", f"{other.op}, on the same group"),
                    ),
                    help="give it a process group of its own, or wait for its result first",
                )


def _overwrites(facts: FunctionFacts, call: ApiCall) -> bool:
    """Whether every rank saves a checkpoint of its own into one folder."""
    given = call.values.get("no_dist")
    if call.api.saves is None or given is None or given.constant is not True or call.alone or call.conditional:
        return False
    if any(value.origin.ranked for name, value in call.values.items() if name not in (call.api.saves, "no_dist")):
        return False
    return any(other is not call and other.is_distributed for other in facts.calls)


def _conflict(facts: FunctionFacts, call: ApiCall) -> Event | None:
    """The first operation on the group of an asynchronous save that comes before a wait for the save; or None."""
    if call.api.operation != "async_save":
        return None
    waits = [expr for expr in expressions(facts.function.body) if isinstance(expr, Attribute)]
    if any(wait.name in ("result", "wait", "done", "add_done_callback") for wait in waits):
        return None
    group = WORLD if call.group is None else call.group.group_key
    return next(
        (event for event in following(facts.term, call.span) if event.operation in _CONFLICTS and event.group == group),
        None,
    )


def _without(call: ApiCall, argument: str) -> FixBuilder:
    """Builds the fix that leaves an argument out."""

    def rewrite(node: cst.Call) -> cst.Call | None:
        from collectivelint.api import without_keyword

        return without_keyword(node, argument)

    return call_fix(call, "display", f"Leave `{argument}` out", rewrite)
