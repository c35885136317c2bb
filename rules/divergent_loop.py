"""Reports a collective in a loop whose number of iterations differs between ranks.

## What it does
Finds loops whose body reaches a collective and whose number of iterations depends on something that differs between
ranks:

- `while not queue.empty()`, or a `while` over a clock;
- a `for` over the files that this rank sees, over every n-th item from its rank on, or over its part of a
  `tensor_split` or of `split_between_processes` without padding;
- a `for` over a list that was filtered by, filled under a condition on, or packed from this rank's own values, or
  over a range computed from them;
- a `for` over the pieces that a model's input is cut into, or over names that the layers of a pipeline stage have
  recorded;
- a `for` over a number on which the ranks would agree if the call passed a group (`if group is not None:
  dist.all_reduce(count, op=MAX, group=group)`);
- a loop that a rank leaves when its own loader ends (`except StopIteration: break`), unless the file creates loaders
  of equal length, with a `DistributedSampler` for instance.

A share of a number of items that is divisible by the number of ranks is not reported, and neither is a number that
the ranks have reduced, a loop that ends after a fixed number of steps, a stream without an end, and files that use
`Join`, a `DistributedSampler` or `accelerate`'s `prepare`. Confidence is low if a rank's own data, loader or queue decide: most
shares are cut or padded to one length somewhere, or differ by one element that is dropped. It is also low for an object that may be of several
classes, if only some of them give each rank a different number of elements, and for a loader of an `IterableDataset`
of the program that ends with this rank's own data: most such streams are cut equally.

Also finds a `while` loop whose condition is set to the result of a collective (`more = dist.broadcast(more, src=0)`).
Without `async_op=True` the result is None, and the data is in the tensor: the loop ends after its first iteration.

## Why is this bad
The rank with the longest loop waits in its last iterations for ranks that have left the loop.

## Example
```python
import torch.distributed as dist


def evaluate(model, samples, total, group: dist.ProcessGroup):
    for sample in samples[dist.get_rank(group) :: dist.get_world_size(group)]:
        total += model(sample)
        dist.all_reduce(total, group=group)  # CL205
```

## Use instead
```python
import torch.distributed as dist


def evaluate(model, samples, total, group: dist.ProcessGroup):
    for sample in samples[dist.get_rank(group) :: dist.get_world_size(group)]:
        total += model(sample)
    dist.all_reduce(total, group=group)
```

Where the collective belongs in the loop, let all ranks make as many iterations as the longest one: reduce the number
with MAX first, and pad.

## References
- [Join: uneven inputs](https://docs.pytorch.org/tutorials/advanced/generic_join.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Call,
    Logical,
    Loop,
    Place,
    Report,
    Rule,
    assignments,
    blocks,
    divergences_of,
    dotted_name,
    loop_advice,
    loop_text,
    report_divergence,
    subject_text,
    why_text,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from collectivelint.api import ApiCall, Assign, Block, Expr, Findings, FunctionFacts

RULE: Final = Rule(
    "CL205",
    "divergent-loop",
    "a collective in a loop whose number of iterations differs between ranks",
    holds="where ranks differ",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each collective, or call that leads to collectives, in such a loop."""
    for facts, divergence in divergences_of(findings, "CL205"):
        yield report_divergence(
            facts,
            divergence,
            f"{subject_text(divergence)} runs once per iteration of {loop_text(findings, divergence)},"
            f" and ranks may make a different number of iterations: it depends on {why_text(divergence)}",
            loop_advice(divergence),
        )
    for facts in findings.analysis.functions:
        yield from _ended_by_none(facts)


def _ended_by_none(facts: FunctionFacts) -> Iterator[Report]:
    """One finding for each `while` loop that ends since its condition is what a collective gives back."""
    calls = {call.span: call for call in facts.calls_at.values() if _gives_none(call)}
    for loop in _loops(facts.function.body) if calls else ():
        asked = {name for expr in _needed(loop.iterable) if (name := dotted_name(expr)) is not None}
        for assign in assignments(loop.body):
            call = calls.get(assign.value.span) if isinstance(assign.value, Call) else None
            names = {name for target in assign.targets if (name := dotted_name(target)) is not None and name in asked}
            if call is None or not names or _is_set_again(loop.body, assign, names):
                continue
            yield Report.at(
                call,
                message=f"`{call.api.op}` returns None here, so that the loop over `{min(names)}` ends after its first iteration;"
                " the received value is in the tensor that was passed",
                severity="error",
                trail=(Place(facts.function.path, call.span, "collective", f"{call.api.op}, which returns None"),),
                help="make the call a statement of its own, and test the tensor",
            )


def _needed(test: Expr) -> Sequence[Expr]:
    """What has to be true for a condition to hold: `more`, or each part of `more and step < 10`."""
    return test.values if isinstance(test, Logical) and test.op == "and" and not test.negated else (test,)


def _is_set_again(block: Block, first: Assign, names: Collection[str]) -> bool:
    """Whether a turn of the loop assigns one of some names again behind an assignment."""
    return any(
        other.span > first.span and dotted_name(target) in names
        for other in assignments(block)
        for target in other.targets
    )


def _loops(block: Block) -> Iterator[Loop]:
    """The `while` loops of a block, inner ones included."""
    for statement in block:
        if isinstance(statement, Loop) and statement.target is None:
            yield statement
        for inner in blocks(statement):
            yield from _loops(inner)


def _gives_none(call: ApiCall) -> bool:
    """Whether it is a collective that writes into a tensor, and gives nothing back unless it is asynchronous."""
    waits = call.values.get("async_op")
    given = {*call.api.uniform, *call.api.receives}
    blocking = waits is None or waits.constant is False
    return call.api.category == "collective" and "async_op" in call.api.params and "return" not in given and blocking
