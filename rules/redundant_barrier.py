"""Reports a barrier right after another synchronisation of the same ranks.

## What it does
Finds a barrier that follows another barrier, or an `all_gather_object`, on the same group, with nothing in between. A
barrier after a collective of tensors is not reported: on a GPU that collective has only been queued when the call
returns.

## Why is this bad
It is harmless but costs time: a barrier is a round trip through all ranks, and waits for the slowest of them once
more.

## Example
```python
import torch.distributed as dist


def finish(group: dist.ProcessGroup):
    dist.barrier(group=group)
    dist.barrier(group=group)  # CL502
    print("done")
```

## Use instead
```python
import torch.distributed as dist


def finish(group: dist.ProcessGroup):
    dist.barrier(group=group)
    print("done")
```

## Fix safety
Safe: the second barrier has nothing to wait for. Unsafe where a comment on it would be lost.

## References
- [torch.distributed.barrier](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.barrier)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import WORLD, Call, Evaluate, Fix, Place, Report, Rule, blocks, is_async, parts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from collectivelint.api import ApiCall, Block, Findings, FixBuilder, FixContext, Operation, Span, Symbol


RULE: Final = Rule(
    "CL502",
    "redundant-barrier",
    "a barrier right after another synchronisation of the same ranks",
    default=False,
    fix="safe",
)

#: Operations that no rank leaves before all ranks have reached them.
_SYNCHRONISING: Final[frozenset[Operation]] = frozenset({"barrier", "all_gather_object"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such barrier."""
    for facts in findings.analysis.functions:
        met = {call.span: call for call in facts.calls if call.api.operation in _SYNCHRONISING and not is_async(call)}
        for first, second in _pairs(facts.function.body, met) if len(met) > 1 else ():
            path = facts.function.path
            yield Report.at(
                second,
                message=f"this barrier is redundant: all ranks of the group have just synchronised in `{first.api.op}`",
                severity="warning",
                trail=(
                    Place(path, first.span, "collective", f"{first.api.op}, on the same group"),
                    Place(path, second.span, "collective", "barrier"),
                ),
                help="remove it",
                fix=_builder(second),
            )


def _pairs(block: Block, met: Mapping[Span, ApiCall]) -> Iterator[tuple[ApiCall, ApiCall]]:
    """Pairs of a synchronisation and the barrier that follows it at once."""
    last: ApiCall | None = None
    for statement in block:
        for inner in blocks(statement):
            yield from _pairs(inner, met)
        here = [met[part.span] for part in parts(statement) if isinstance(part, Call) and part.span in met]
        found = here[0] if here else None
        alone = isinstance(statement, Evaluate) and found is not None and found.api.operation == "barrier"
        if last is not None and found is not None and alone and _group(last) == _group(found):
            yield last, found
        last = found


def _group(call: ApiCall) -> Symbol:
    return WORLD if call.group is None else call.group.group_key


def _builder(call: ApiCall) -> FixBuilder:
    def build(context: FixContext) -> Fix | None:
        from collectivelint.api import edit

        anchored = context.anchor(call.statement)
        if anchored is None or not anchored.alone:
            return None
        source, span = context.source, call.statement
        starts = (*source.starts, len(source.text))
        removed = edit(source, starts[span.line - 1], starts[min(span.end_line, len(starts) - 1)], "")
        # A comment on the barrier would go with it.
        comment = "#" in source.text[removed.start : removed.end]
        return Fix("unsafe" if comment else "safe", "Remove the barrier", (removed,))

    return build
