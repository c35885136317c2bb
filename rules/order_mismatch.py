"""Reports collectives that ranks may issue in different order.

## What it does
Finds two branches of a rank condition that run the same collectives on the same group in a different order, or
collectives of the default group and another one that both have ranks in both branches, and loops with a collective
over a `set`: sets of strings or objects are ordered by hash, which differs between processes.

With low confidence also a collective once per key of a dict to which a loop of each rank adds keys as they come
(`scores[metric].append(value)` of a `defaultdict`, `scores.setdefault(metric, [])`): a rank with different data has
different keys, or the same keys in a different order. Not reported if an earlier collective receives the keys, or if
the keys are the names of a model's parameters.

## Why is this bad
Ranks pair collectives by their order alone. The same operation on swapped tensors does not even hang: each rank gets the
sum of different parameters.

## Example
```python
import torch.distributed as dist


def reduce_all(grads, group: dist.ProcessGroup):
    names = {"weight", "bias"}
    for name in names:
        dist.all_reduce(grads[name], group=group)  # CL206
```

## Use instead
```python
import torch.distributed as dist


def reduce_all(grads, group: dist.ProcessGroup):
    names = {"weight", "bias"}
    for name in sorted(names):
        dist.all_reduce(grads[name], group=group)
```

## Fix safety
A loop over a set of strings or numbers iterates over `sorted(...)` of it. Unsafe: the order changes, and checkpoints
or random numbers may depend on it. Other cases have no automatic fix.

## References
- [Python: PYTHONHASHSEED](https://docs.python.org/3/using/cmdline.html#envvar-PYTHONHASHSEED)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Call,
    Compound,
    Comprehension,
    Confidence,
    Constant,
    Loop,
    Name,
    Place,
    Report,
    Rule,
    assignments,
    blocks,
    condition_text,
    divergences_of,
    group_text,
    keyed_collectives,
    report_divergence,
    statement_fix,
    what_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Anchored, Block, Event, Expr, Findings, FixBuilder, FunctionFacts, Span


RULE: Final = Rule(
    "CL206",
    "order-mismatch",
    "collectives that ranks may issue in a different order",
    fix="unsafe",
    holds="where ranks differ",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each pair of arms, and for each loop over a set."""
    negotiated = findings.analysis.catalog.negotiated
    for facts, divergence in divergences_of(findings, "CL206"):
        if negotiated.intersection(event.op for event in (divergence.event, divergence.other) if event is not None):
            continue
        other = f"`{divergence.other.op}`" if divergence.other is not None else "another collective"
        if divergence.other is not None and divergence.other.group is not divergence.event.group:
            other += f" on {group_text(divergence.other)}"
        yield report_divergence(
            facts,
            divergence,
            f"{what_text(divergence)} comes first where {condition_text(findings, divergence)}, but {other} comes"
            " first on the other ranks",
            "issue the same collectives in the same order on every rank",
        )
    for facts, loop, event in findings.analysis.unordered_loops():
        span, statement = event.place
        assert loop.unordered is not None
        if event.op in negotiated:
            continue
        yield Report(
            path=facts.function.path,
            span=span,
            statement=statement,
            function=facts.function.qualname,
            message=f"`{event.op}` runs in a loop over a set, whose order differs between ranks",
            severity="error",
            trail=(
                Place(loop.unordered.path, loop.unordered.span, "source", "a set: its order depends on hashes"),
                *(Place(site.path, site.span, "call", f"calls {site.callee}") for site in event.chain),
                Place(event.path, event.span, "collective", f"{event.op}, {group_text(event)}"),
            ),
            help="iterate over sorted(...), or over a list or dict, which keep their order",
            fix=_sorter(facts, event) if loop.unordered.path == facts.function.path else None,
        )
    for keyed in keyed_collectives(findings.analysis.functions):
        event, path = keyed.event, keyed.facts.function.path
        span, statement = event.place
        if event.op in negotiated:
            continue
        yield Report(
            path=path,
            span=span,
            statement=statement,
            function=keyed.facts.function.qualname,
            message=f"`{event.op}` runs once per key of `{keyed.container}`, to which each rank adds keys according to its"
            " own data: ranks may have different keys, or the same keys in a different order",
            severity="error",
            trail=(
                Place(path, keyed.filled, "source", "a key is added if this rank's data has it"),
                Place(path, keyed.head, "condition", "one iteration per key"),
                *(Place(site.path, site.span, "call", f"calls {site.callee}") for site in event.chain),
                Place(event.path, event.span, "collective", f"{event.op}, {group_text(event)}"),
            ),
            help="gather the keys of all ranks first and iterate over their sorted union, or send the dict in one object collective",
            confidence=Confidence.LOW,
        )


def _sorter(facts: FunctionFacts, event: Event) -> FixBuilder | None:
    """Builds `for name in sorted(names)` of `for name in names`, where the program shows that they are strings or numbers."""
    loop = _loop_around(facts.function.body, event.place[0])
    if loop is None or not _is_sortable(loop.iterable, facts.function.body):
        return None

    def rewrite(anchored: Anchored) -> cst.For | None:
        import libcst as cst

        loop = anchored.statement
        if not isinstance(loop, cst.For):
            return None
        return loop.with_changes(iter=cst.Call(cst.Name("sorted"), [cst.Arg(loop.iter)]))

    return statement_fix(loop.span, "unsafe", "Iterate over it in sorted order", rewrite)


def _loop_around(block: Block, span: Span) -> Loop | None:
    """The innermost loop that holds a place."""
    for statement in block:
        if statement.span.contains_line(span.line):
            for inner in blocks(statement):
                if (found := _loop_around(inner, span)) is not None:
                    return found
            if isinstance(statement, Loop):
                return statement
    return None


def _is_sortable(expr: Expr | None, block: Block, depth: int = 0) -> bool:
    match expr:
        case Compound(kind="Set", parts=parts):
            kinds = {type(part.value) if isinstance(part, Constant) else None for part in parts}
            return kinds in ({str}, {int})
        case Call(function=Name(id="set"), args=(Compound(kind="List" | "Tuple", parts=parts),)):
            return _is_sortable(Compound("Set", parts), block)
        case (
            Comprehension(element=Call(function=Name(id="str" | "int")))
            | Comprehension(element=Compound(kind="JoinedStr"))
        ):
            return True
        case Name() if depth == 0:
            made = [item for item in assignments(block) if expr in item.targets]
            return bool(made) and all(_is_sortable(item.value, block, 1) for item in made)
        case _:
            return False
