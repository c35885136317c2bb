"""Reports collectives that a rank skips, or runs alone, because of an exception it caught.

## What it does
Looks at `try` statements whose body can fail on one rank alone: reading or writing files, network access, running out
of memory, or a handler for such an error. It reports

- a collective in the body, or after the statement, that a rank misses because its handler swallows the error, returns,
  breaks or continues;
- a collective in the handler;
- a fallback value set in the handler that later decides about a collective.

If nothing in the body shows that it can fail on one rank, a handler of any exception (`except Exception`, `except:`)
after which the rank continues is reported with low confidence: around collectives and the calls beside them, and
around a function of the program whose error decides about later collectives. Not reported are a body with nothing but
the collective itself, which fails on all ranks, a handler that runs collectives or stores the exception, and tests.

Confidence is low if the collective depends on what was found out by catching an exception before: most of these find out
whether something is installed. It is also low if only reading a file that every rank reads can fail: a working shared file system gives every rank the same
result.

A handler that raises again is not reported: the rank ends, and the launcher ends the job. Neither is a `finally`,
which every rank runs. All collectives that one exception makes a rank skip are one finding, at the first of them.

## Why is this bad
The rank that recovered continues, one collective behind the other ranks. They wait for it, or worse, its next
collective is paired with their current one and the ranks exchange the wrong data.

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
