"""Reports an option of a distributed checkpoint that does not do what it is used for.

## What it does
- An argument that has no effect any more: `DefaultSavePlanner(dedup_replicated_tensors=...)`.
- `no_dist=True`, reached by all ranks of a distributed function with one folder.
- `async_save`, followed by another collective of Python objects, or a barrier, on the same group before the save has ended.

## Why is this bad
The first changes nothing: replicas are still told apart by name, and one is kept. The second makes every rank write a
checkpoint of its own over that of the others: what is left is a mixture. In the third a thread runs collectives on the
group while the function does: the two meet each other's calls, and hang or exchange the wrong data.

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

from pathlib import Path
from typing import TYPE_CHECKING, Final

from collectivelint.analysis.domain.symbol import WORLD
from collectivelint.analysis.effects import following
from collectivelint.finding import Fix
from collectivelint.ir.nodes import Attribute, expressions
from collectivelint.rule import Findings, FixContext, Place, Report, Rule
from collectivelint.source.discover import is_test

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.analysis.effects import Event
    from collectivelint.analysis.summary.model import ApiCall, FunctionFacts
    from collectivelint.rule import FixBuilder

RULE: Final = Rule("CL410", "checkpoint-option", "an option of a checkpoint that does not do what it is used for")

#: What the thread of an asynchronous save meets on its group: it exchanges plans as Python objects.
_MEETING: Final = frozenset(
    {
        *("barrier", "monitored_barrier", "broadcast_object_list", "all_gather_object", "gather_object"),
        *("scatter_object_list", "save", "async_save", "load"),
    }
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts in findings.analysis.functions:
        for call in facts.calls:
            if call.api.ignored is not None and call.api.ignored in call.values:
                yield Report.at(
                    call,
                    message=f"`{call.api.ignored}` has no effect any more; of tensors of one name one rank's is kept either way",
                    severity="warning",
                    trail=(Place(call.function.path, call.span, "note", "the argument is ignored"),),
                    help="leave it out; DTensor parameters tell the checkpoint which part each rank has",
                    fix=_builder(call, call.api.ignored),
                )
            elif _overwrites(facts, call) and not is_test(Path(call.function.path)):
                yield Report.at(
                    call,
                    message=f"all ranks reach `{call.api.op}` with `no_dist`, and write over each other's checkpoint",
                    severity="error",
                    trail=(Place(call.function.path, call.span, "note", "every rank saves as if it were alone"),),
                    help="leave `no_dist` out, or let one rank save",
                    fix=_builder(call, "no_dist"),
                )
            elif (other := _meeting(facts, call)) is not None:
                yield Report.at(
                    call,
                    message=f"`{call.api.op}` still runs on its group when `{other.op}` is called on the same group",
                    severity="warning",
                    trail=(
                        Place(call.function.path, call.span, "collective", "runs on in a thread"),
                        Place(other.path, other.span, "collective", f"{other.op}, on the same group"),
                    ),
                    help="give it a process group of its own, or wait for its result first",
                )


def _overwrites(facts: FunctionFacts, call: ApiCall) -> bool:
    """Do all ranks save without the others, into one folder?"""
    given = call.values.get("no_dist")
    if call.api.saves is None or given is None or given.constant is not True or call.alone or call.conditional:
        return False
    if any(value.ranked for name, value in call.values.items() if name not in (call.api.saves, "no_dist")):
        return False
    return any(other is not call and other.is_distributed for other in facts.calls)


def _meeting(facts: FunctionFacts, call: ApiCall) -> Event | None:
    """What is called on the group of an asynchronous save before it has been waited for."""
    if call.api.op != "async_save":
        return None
    waits = [expr for expr in expressions(facts.function.body) if isinstance(expr, Attribute)]
    if any(wait.name in ("result", "wait", "done", "add_done_callback") for wait in waits):
        return None
    group = WORLD if call.group is None else call.group.group_key
    return next(
        (event for event in following(facts.term, call.span) if event.op in _MEETING and event.group == group), None
    )


def _builder(call: ApiCall, argument: str) -> FixBuilder:
    def build(context: FixContext) -> Fix | None:
        import libcst as cst

        from collectivelint.fixes.arguments import without_keyword

        anchored = context.anchor(call.statement)
        node = anchored.find(cst.Call, call.span) if anchored is not None else None
        shorter = without_keyword(node, argument) if node is not None else None
        if anchored is None or node is None or shorter is None:
            return None
        edits = anchored.replace(node, shorter)
        return Fix("display", f"Leave `{argument}` out", edits) if edits else None

    return build
