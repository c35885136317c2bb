"""Reports a collective that only some ranks reach because of a rank condition.

## What it does
Follows what a function does on both sides of a condition that depends on a rank, through calls into other functions of
the program. If the ranks on one side run a collective that those on the other side do not run on the same group, it is
reported where it happens in that function: at the collective, or at the call that leads to it.

Branches that run the same collectives on both sides, complementary conditions (`if not main: barrier()` ... `if main:
barrier()`), and conditions about membership in the very group that is used are fine and stay silent.

## Why is this bad
A collective returns when every rank of its group has called it. The ranks that were sent around it never call, the
others wait until the process group times out, often half an hour later, and the job dies with a stack trace that shows
the innocent side.

## Example
```python
import torch.distributed as dist


def clean_up(paths, group: dist.ProcessGroup) -> None:
    if dist.get_rank(group) == 0:
        for path in paths:
            path.unlink()
        dist.barrier(group=group)  # CL201
```

## Use instead
```python
import torch.distributed as dist


def clean_up(paths, group: dist.ProcessGroup) -> None:
    if dist.get_rank(group) == 0:
        for path in paths:
            path.unlink()
    dist.barrier(group=group)
```

## Fix safety
Unsafe: a barrier that is the last statement of an `if` without `else` is moved behind it, so that every rank reaches it.
Whether the other ranks are meant to wait there is for you to decide. Other cases have no automatic fix.

## References
- [torch.distributed: Synchronous and asynchronous collective operations](https://docs.pytorch.org/docs/stable/distributed.html#synchronous-and-asynchronous-collective-operations)
- Aiken, Gay: Barrier inference. POPL 1998
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from collectivelint.analysis.checks.divergence_report import condition_text, diverging, report, what_text
from collectivelint.finding import Fix
from collectivelint.rule import Findings, FixContext, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.analysis.checks.divergence import Divergence
    from collectivelint.rule import FixBuilder

RULE: Final = Rule(
    "CL201", "rank-conditional", "a collective that a rank condition keeps some ranks from", fix="unsafe"
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each collective, or call that leads to collectives, in an arm of a rank condition."""
    for facts, divergence in diverging(findings, "CL201"):
        found = report(
            facts,
            divergence,
            f"{what_text(divergence)}, but only ranks where {condition_text(findings, divergence)} get there;"
            " the others will not come",
            "let every rank of the group reach it: put under the condition only what one rank has to do alone",
        )
        hoists = not divergence.event.chain and divergence.event.operation == "barrier"
        yield replace(found, fix=_hoister(divergence)) if hoists else found


def _hoister(divergence: Divergence) -> FixBuilder:
    def build(context: FixContext) -> Fix | None:
        import libcst as cst

        start = divergence.guard.statement
        if context.source.text.startswith("elif", context.source.offset(start.line, start.column)):
            # Behind an `elif` means behind the whole chain: other ranks than these would wait there too.
            return None
        anchored = context.anchor(start)
        if anchored is None or not anchored.alone or not isinstance(anchored.statement, cst.If):
            return None
        branch = anchored.statement
        call = anchored.find(cst.Call, divergence.event.span)
        if call is None or branch.orelse is not None or not isinstance(branch.body, cst.IndentedBlock):
            return None
        *rest, last = branch.body.body
        if not rest or not isinstance(last, cst.SimpleStatementLine) or len(last.body) != 1:
            return None
        if not isinstance(last.body[0], cst.Expr) or last.body[0].value is not call:
            return None
        kept = branch.with_changes(body=branch.body.with_changes(body=rest))
        edits = anchored.replace(branch, cst.FlattenSentinel([kept, last]))
        return Fix("unsafe", "Let every rank reach the barrier", edits) if edits else None

    return build
