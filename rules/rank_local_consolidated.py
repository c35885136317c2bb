"""Reports one file for the whole model that one rank writes from its own part.

## What it does
Follows the state dict of a model whose parameters are sharded to the call that writes it, if only some ranks reach
that call and the path has no rank in it. A model is sharded if it, or a layer inside it, divides the size of a
parameter by the number of ranks, or if `fully_shard` or `parallelize_module` was applied to it. The result of
`get_model_state_dict(..., full_state_dict=True)`, `full_tensor()` or a collective is whole again.

Also reported, with medium confidence: the state of the first of several parts if another branch of the function takes
the state of all, and a loop over this rank's own file and one of rank 0 that does not stop after the first that can
be read.

## Why is this bad
`model.state_dict()` of such a model holds this rank's part only. The file looks complete; it loads into a model of
one rank's size or fails with a size mismatch weeks later, and the parts of all other ranks are lost.

## Example
```python
import torch
import torch.distributed as dist
from torch import nn


class ColumnParallel(nn.Module):
    def __init__(self, inputs: int, outputs: int, group: dist.ProcessGroup):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs // dist.get_world_size(group), inputs))


def save(model: ColumnParallel, path):
    if dist.get_rank() == 0:
        torch.save(model.state_dict(), path)  # CL401
```

## Use instead
```python
import torch
import torch.distributed as dist
from torch import nn


class ColumnParallel(nn.Module):
    def __init__(self, inputs: int, outputs: int, group: dist.ProcessGroup):
        super().__init__()
        self.group = group
        self.weight = nn.Parameter(torch.empty(outputs // dist.get_world_size(group), inputs))


def save(model: ColumnParallel, path):
    parts = [torch.empty_like(model.weight) for _ in range(dist.get_world_size(model.group))]
    dist.all_gather(parts, model.weight.detach(), group=model.group)
    if dist.get_rank() == 0:
        torch.save({"weight": torch.cat(parts)}, path)
```

With DTensor parameters, `torch.distributed.checkpoint.save` writes every rank's part by itself.

## References
- [torch.distributed.checkpoint](https://docs.pytorch.org/docs/stable/distributed.checkpoint.html)
- [Tensor parallelism](https://docs.pytorch.org/docs/stable/distributed.tensor.parallel.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Confidence,
    Place,
    Report,
    Rule,
    dotted_name,
    first_saved,
    is_test,
    replaced_by_fallback,
    statement_at,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from collectivelint.api import Findings, FunctionFacts

RULE: Final = Rule(
    "CL401",
    "rank-local-consolidated",
    "one rank's shard saved as if it were the whole model",
    holds="between ranks",
)

_ADVICE: Final = (
    "gather the parts on all ranks first, or let every rank save its own part:"
    " torch.distributed.checkpoint with DTensor parameters does"
)
_HOW: Final = {
    "hand": "a parameter with this rank's share of a dimension",
    "framework": "its parameters are sharded from here on",
}


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    ranks = findings.analysis.catalog.rank_names
    for facts in findings.analysis.functions:
        path = facts.function.path
        yield from _one_for_all(facts, ranks)
        for use in facts.files:
            sharded = use.state.origin.sharded if use.state is not None else None
            if sharded is None or sharded.kind not in _HOW or not use.is_whole:
                continue
            conditions = [Place(path, guard.span, "condition", "only some ranks reach it") for guard in use.guards[-1:]]
            yield Report.at(
                use,
                message=f"`{use.api}` writes this rank's part of a sharded model as if it were the whole; the parts of the other ranks are lost",
                severity="error",
                trail=(
                    Place(sharded.cause.path, sharded.cause.span, "source", _HOW[sharded.kind]),
                    *conditions,
                    Place(path, use.span, "note", "writes the state of one rank"),
                ),
                help=_ADVICE,
            )
        for note in facts.notes:
            if note.kind == "one part":
                source, where = note.causes
                yield Report.at(
                    note,
                    message="the state passed here is one rank's part of a sharded model, and one rank writes it as if it were the whole;"
                    " the parts of the other ranks are lost",
                    severity="error",
                    trail=(
                        Place(source.path, source.span, "source", _HOW[note.callee]),
                        Place(path, note.span, "call", "each rank passes its own state"),
                        Place(where.path, where.span, "note", "writes the state of one rank"),
                    ),
                    help=_ADVICE,
                )


def _one_for_all(facts: FunctionFacts, ranks: Collection[str]) -> Iterator[Report]:
    """State of the first of several parts alone, and a fall-back that replaces what was read before it."""
    path, name = facts.function.path, facts.function.qualname
    if is_test(path):
        return
    for call, whole in first_saved(facts):
        text = dotted_name(whole) or "it"
        yield Report(
            path=path,
            span=call.span,
            statement=statement_at(facts, call.span),
            function=name,
            message=f"only the state of the first of `{text}` is taken here; another branch takes the state of all of them",
            severity="error",
            trail=(Place(path, call.span, "note", "each part has a state of its own"),),
            help="take the state of each one, under its own name",
            confidence=Confidence.MEDIUM,
        )
    for loop, made in replaced_by_fallback(facts, ranks):
        yield Report(
            path=path,
            span=made.span,
            statement=made.span,
            function=name,
            message="the loop continues after this rank's own file is read, so the last file replaces it on every rank",
            severity="error",
            trail=(
                Place(path, loop.head, "source", "this rank's own file comes first, then another one"),
                Place(path, made.span, "note", "nothing ends the loop after it"),
            ),
            help="`break` after the first file that can be read",
        )
