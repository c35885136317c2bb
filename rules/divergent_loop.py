"""Reports a collective in a loop whose number of iterations differs between ranks.

## What it does
Finds loops whose number of turns depends on something that differs between ranks, and whose body reaches a collective: `while
not queue.empty()`, a `while` over a clock, a `for` over files this rank sees, over every n-th item from its rank on, its part
of a `tensor_split` or of `split_between_processes` without padding, over a list that was filtered or filled by a condition of
this rank, that its own values were packed into, or as often as a number made of them says, over the pieces that a model's
input is cut into, over names that the layers of a pipeline stage have recorded, over what a function has made of a number on
which ranks would agree if the call passed a group (`if group is not None: dist.all_reduce(count, op=MAX, group=group)`), and
loops that a rank leaves where its own loader has ended (`except StopIteration: break`) unless the file makes loaders of equal
length, with a `DistributedSampler` for instance.

A share of items whose number the number of ranks goes into is equally large, and silent; so is a number that ranks have
reduced. Confidence is low where a rank's own data, loader or queue decide: mostly the shares are cut or padded to one length
somewhere, or differ by one element that is dropped. It is low, too, for an object that may be of several classes of which only some give each rank another number of
elements, and for a loader of an `IterableDataset` of the program that ends where this rank's own data do: mostly such streams
are cut alike. A loop that is left after so many steps, a stream without an end, and files that use `Join`, a
`DistributedSampler` or `accelerate`'s `prepare` are silent.

Finds as well a `while` loop whose condition is set to what a collective returns (`more = dist.broadcast(more, src=0)`).
That is None without `async_op=True`: the data are in the tensor. The loop ends after its first turn, while the rank that sends goes on.

## Why is this bad
The rank with the longest loop waits in its last turns for ranks that have long left theirs.

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

Where the collective belongs in the loop, let all ranks make as many turns as the longest one: reduce the number of turns
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
                " what was received is in the tensor that was passed",
                severity="error",
                trail=(Place(facts.function.path, call.span, "collective", f"{call.api.op}, which returns None"),),
                help="call it as a statement of its own, and test the tensor",
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
