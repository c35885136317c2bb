"""Reports a collective that only some ranks reach because of a rank condition.

## What it does
Follows what a function does on both sides of a condition that depends on a rank, through calls into other functions of
the program. If the ranks on one side run a collective that those on the other side do not run on the same group, it is
reported where it happens in that function: at the collective, or at the call that leads to it.

Branches that run the same collectives on both sides, complementary conditions (`if not main: barrier()` ... `if main:
barrier()`), and conditions about membership in the very group that is used are fine and are not reported.

Confidence is low if all ranks but one serve that one: they wait in an endless loop for what it sends, or it passes
work to a server, a thread or another library that runs the same collective. It is also low if each rank reaches the
collective in its own iteration of a loop that runs nothing else: `for other in ranks: if other == rank: build()`.

## Why is this bad
A collective returns when every rank of its group has called it. The ranks that the condition excludes never call it,
and the others wait until the process group times out, often half an hour later. The job then ends with a stack trace
of the ranks that did everything right.

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
Unsafe: a barrier that is the last statement of an `if` without `else` is moved after it, so that every rank reaches
it. Check that the other ranks are meant to wait there. Other cases have no automatic fix.

## References
- [torch.distributed: Synchronous and asynchronous collective operations](https://docs.pytorch.org/docs/stable/distributed.html#synchronous-and-asynchronous-collective-operations)
- Aiken, Gay: Barrier inference. POPL 1998
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from collectivelint.api import Rule, clause_text, condition_text, divergences_of, report_divergence, statement_fix

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Anchored, Divergence, Findings, FixBuilder, Report


RULE: Final = Rule(
    "CL201",
    "rank-conditional",
    "a collective that only some ranks reach because of a rank check",
    fix="unsafe",
    holds="between ranks",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each collective, or call that leads to collectives, in an arm of a rank condition."""
    for facts, divergence in divergences_of(findings, "CL201"):
        found = report_divergence(
            facts,
            divergence,
            f"{clause_text(divergence)}, but only ranks where {condition_text(findings, divergence)} reach it;"
            " the other ranks never do",
            "call it on every rank of the group; keep only single-rank work inside the condition",
        )
        hoists = not divergence.event.chain and divergence.event.operation == "barrier"
        yield replace(found, fix=_hoister(divergence)) if hoists else found


def _hoister(divergence: Divergence) -> FixBuilder:
    """Builds the fix that moves a barrier at the end of an `if` behind it."""

    def rewrite(anchored: Anchored) -> list[cst.BaseStatement] | None:
        import libcst as cst

        branch, call = anchored.statement, anchored.find(cst.Call, divergence.event.span)
        if not isinstance(branch, cst.If) or call is None or branch.orelse is not None:
            return None
        if not isinstance(branch.body, cst.IndentedBlock):
            return None
        *rest, last = branch.body.body
        if not rest or not isinstance(last, cst.SimpleStatementLine) or len(last.body) != 1:
            return None
        if not isinstance(last.body[0], cst.Expr) or last.body[0].value is not call:
            return None
        return [branch.with_changes(body=branch.body.with_changes(body=rest)), last]

    return statement_fix(divergence.guard.statement, "unsafe", "Let every rank reach the barrier", rewrite)
