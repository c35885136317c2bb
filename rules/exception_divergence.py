"""Reports collectives that a rank skips, or runs alone, because of an exception it caught.

## What it does
Looks at `try` statements whose body can fail on one rank alone: reading or writing files, network access, running out of
memory, or a handler for such an error. Reported is

- a collective in the body, or after the statement, that a rank misses because its handler swallows the error, returns,
  breaks or continues;
- a collective in the handler;
- a fallback value set in the handler that later decides about a collective.

Where nothing in the body says that it can fail on one rank, a handler of any exception (`except Exception`, `except:`) that goes
on counts too, with low confidence: around collectives and what is called with them, and around a function of the program whose
error decides about later ones. It is silent where the body only holds the collective itself, which fails on all ranks, where
the handler runs collectives of its own or keeps the exception, and in tests.

Confidence is low where another file has caught the exception: mostly it has found out so whether something is installed. It is
low where all that can fail is a file that every rank reads: a healthy shared disk answers all of them alike.

A handler that raises again is silent: the rank ends, and the launcher ends the job. So is a `finally`, which every rank
runs. What one exception keeps a rank from is one finding, at the first collective.

## Why is this bad
The rank that recovered goes on, one collective behind the others. They wait for it, or worse, they pair its next
collective with their current one and exchange the wrong data.

## Example
```python
import torch
import torch.distributed as dist


def restore(path, model, group: dist.ProcessGroup):
    try:
        state = torch.load(path)
        dist.barrier(group=group)  # CL204
        model.load_state_dict(state)
    except FileNotFoundError:
        print("starting from scratch")
```

## Use instead
```python
import torch
import torch.distributed as dist


def restore(path, model, group: dist.ProcessGroup):
    try:
        state = torch.load(path)
    except FileNotFoundError:
        state = None
    found = torch.tensor(state is not None)
    dist.all_reduce(found, op=dist.ReduceOp.MIN, group=group)
    if found.item():
        model.load_state_dict(state)
```

## References
- [torch.distributed.elastic: Error propagation](https://docs.pytorch.org/docs/stable/elastic/errors.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Rule, condition_text, divergences_of, report_divergence, subject_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Divergence, Findings, FunctionFacts, Report, Span

RULE: Final = Rule(
    "CL204",
    "exception-divergence",
    "a collective that a rank skips or runs alone because of a caught exception",
    holds="where ranks differ",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for what is on one side of an exception: the first collective, or call that leads to collectives."""
    first: dict[tuple[int, object, bool], tuple[FunctionFacts, Divergence]] = {}
    for facts, divergence in divergences_of(findings, "CL204"):
        key = (id(facts), divergence.guard.symbol, divergence.holds)
        known = first.get(key)
        if known is None or _rank(divergence) < _rank(known[1]):
            first[key] = facts, divergence
    for facts, divergence in first.values():
        where = f"where {condition_text(findings, divergence)}"
        if divergence.guard.symbol.kind != "caught":
            where += ", which depends on an exception"
        yield report_divergence(
            facts,
            divergence,
            f"{subject_text(divergence)} is reached only {where}; an error on one rank need not occur on the other ranks",
            "catch the error, share whether any rank failed (all_reduce or all_gather_object), then act on it together",
        )


def _rank(divergence: Divergence) -> tuple[int, Span]:
    """The surest one comes first, then the one that is reached first."""
    return -divergence.confidence, divergence.event.place[0]
