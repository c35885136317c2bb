"""Reports collectives that ranks may issue in different order.

## What it does
Finds two branches of a rank condition that run the same collectives on the same group in another order, and loops with a
collective over a `set`: sets of strings or objects are ordered by hash, which differs between processes.

## Why is this bad
Ranks pair collectives by their order alone. The same operation on swapped tensors does not even hang: each rank gets the
sum of different parameters.

## Example
```python
import torch.distributed as dist


def reduce_all(grads, group: dist.ProcessGroup):
    names = set(grads)
    for name in names:
        dist.all_reduce(grads[name], group=group)  # CL206
```

## Use instead
```python
import torch.distributed as dist


def reduce_all(grads, group: dist.ProcessGroup):
    names = set(grads)
    for name in sorted(names):
        dist.all_reduce(grads[name], group=group)
```

## References
- [Python: PYTHONHASHSEED](https://docs.python.org/3/using/cmdline.html#envvar-PYTHONHASHSEED)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.rule import Findings, Place, Report, Rule

from .trails import condition_text, diverging, group_text, report, what_text

if TYPE_CHECKING:
    from collections.abc import Iterator

RULE: Final = Rule("CL206", "order-mismatch", "collectives that ranks may issue in different order")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each pair of arms, and for each loop over a set."""
    for facts, divergence in diverging(findings, "CL206"):
        other = divergence.other.op if divergence.other is not None else "another collective"
        yield report(
            facts,
            divergence,
            f"{what_text(divergence)} comes first where {condition_text(findings, divergence)}, but `{other}` on the"
            " other ranks",
            "issue the same collectives in the same order on every rank",
        )
    for facts, loop, event in findings.analysis.unordered_loops():
        span, statement = event.place
        assert loop.unordered is not None
        yield Report(
            path=facts.function.path,
            span=span,
            statement=statement,
            function=facts.function.qualname,
            message=f"`{event.op}` runs in a loop over a set, whose order differs between ranks",
            severity="error",
            trail=(
                Place(loop.unordered.path, loop.unordered.span, "source", "a set: its order is a matter of hashes"),
                *(Place(site.path, site.span, "call", f"calls {site.callee}") for site in event.chain),
                Place(event.path, event.span, "collective", f"{event.op}, {group_text(event)}"),
            ),
            help="iterate over sorted(...), or over a list or dict, which keep their order",
        )
