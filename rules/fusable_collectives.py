"""Reports several collectives that one call could replace.

## What it does
Finds three or more collectives of the same kind on the same group in a row, with nothing but computations in between,
and loops whose every iteration runs the same single collective. Barriers, collectives of Python objects and
asynchronous calls are not reported.

## Why is this bad
Each collective has a fixed cost, whatever its size: tens of microseconds on one node, more across many. One call per
parameter means thousands of calls with a few kilobytes each; one call for all of them takes as long as a few of
these.

## Example
```python
import torch
import torch.distributed as dist


def average(parameters: list[torch.Tensor], group: dist.ProcessGroup):
    for parameter in parameters:
        dist.all_reduce(parameter, group=group)  # CL501
```

## Use instead
```python
import torch
import torch.distributed as dist
from torch._utils import _flatten_dense_tensors, _unflatten_dense_tensors


def average(parameters: list[torch.Tensor], group: dist.ProcessGroup):
    flat = _flatten_dense_tensors(parameters)
    dist.all_reduce(flat, group=group)
    for parameter, whole in zip(parameters, _unflatten_dense_tensors(flat, parameters)):
        parameter.copy_(whole)
```

## References
- [torch.distributed](https://docs.pytorch.org/docs/stable/distributed.html)
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Call,
    Event,
    Place,
    Repeat,
    Report,
    Rule,
    With,
    blocks,
    dotted_name,
    expressions,
    group_text,
    is_async,
    terms,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Block, Findings, Operation, Span, Symbol, Term


RULE: Final = Rule("CL501", "fusable-collectives", "several collectives that one call could replace", default=False)

_FUSABLE: Final[frozenset[Operation]] = frozenset(
    {"all_reduce", "broadcast", "reduce", "all_gather", "reduce_scatter", "all_to_all"}
)
_MIN_CALLS: Final = 3


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each row, at its first collective, and for each loop."""
    for facts in findings.analysis.functions:
        handled = {call.span for call in facts.calls if is_async(call)}
        handled |= set(_coalesced(findings, facts.function.path, facts.function.body))
        for run in chain.from_iterable(_runs(term, handled) for term in terms(facts.term)):
            first, loops = run[0], len(run) == 1
            span, statement = first.place
            what = f"each iteration runs one `{first.op}`" if loops else f"`{first.op}` runs {len(run)} times in a row"
            yield Report(
                path=facts.function.path,
                span=span,
                statement=statement,
                function=facts.function.qualname,
                message=f"{what} on {group_text(first)}; one call is enough",
                severity="warning",
                trail=tuple(Place(event.path, event.span, "collective", event.op) for event in run),
                help="concatenate the tensors and make one call, or coalesce the calls",
            )


def _coalesced(findings: Findings, path: str, block: Block) -> Iterator[Span]:
    """The calls in a `with` that coalesces them already."""
    managers, program = findings.analysis.catalog.coalescing, findings.analysis.program
    for statement in block:
        for manager, _ in statement.items if isinstance(statement, With) else ():
            name = dotted_name(manager.function) if isinstance(manager, Call) else None
            target = program.resolve(path, name) if name is not None else None
            if target is not None and target.name in managers:
                yield from (expr.span for expr in expressions((statement,)) if isinstance(expr, Call))
        for inner in blocks(statement):
            yield from _coalesced(findings, path, inner)


def _runs(term: Term, handled: set[Span]) -> Iterator[list[Event]]:
    """Sequences of equal collectives; a single one stands for a loop."""
    run: list[Event] = []
    for item in (*term, None):
        event = item if isinstance(item, Event) else _in_loop(item) if isinstance(item, Repeat) else None
        if event is not None and (event.operation not in _FUSABLE or event.place[0] in handled):
            event = None
        if run and (event is None or _fused_by(event) != _fused_by(run[0])):
            # A row inside one call is found where it stands.
            if len(run) >= _MIN_CALLS and len({found.place for found in run}) > 1:
                yield run
            run = []
        if event is not None:
            run.append(event)
            if isinstance(item, Repeat) and not event.chain:
                yield [event]


def _fused_by(event: Event) -> tuple[tuple[str, Symbol, str], str]:
    """What is equal for calls that can be fused: the collective, and the function of the program that issues it."""
    return event.token, event.chain[0].callee if event.chain else ""


def _in_loop(item: Repeat) -> Event | None:
    """The one collective of a loop's body."""
    only = item.body[0] if len(item.body) == 1 else None
    return only if isinstance(only, Event) else None
