"""Reports a value of one rank's part that is used as the value of the whole.

## What it does
Finds two values that every rank computes from its own part:

* the gradient norm of a model in `FullyShardedDataParallel`, if `torch.nn.utils.clip_grad_norm_` computes it: the
  parameters are this rank's shards. Modules of `fully_shard` are not reported: their parameters are DTensors, whose
  norm covers all shards.
* the result of a function of the program that one call reduces over the ranks, while another call in the same file
  logs it without a reduction.

## Why is this bad
Nothing hangs. Each rank scales its shards by a different factor, so the step differs from that of one process; or the
log shows the loss of one rank's part of the data, beside others that are the mean of all ranks.

## Example
```python
import torch
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP


def step(module, batch, optimizer):
    model = FSDP(module)
    model(batch).sum().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # CL111
    optimizer.step()
```

## Use instead
```python
from torch.distributed.fsdp import FullyShardedDataParallel as FSDP


def step(module, batch, optimizer):
    model = FSDP(module)
    model(batch).sum().backward()
    model.clip_grad_norm_(1.0)
    optimizer.step()
```

## Confidence
High if the model is always wrapped, medium if a condition decides about it. Not reported under a condition that
checks for FSDP, or beside a call of the model's own `clip_grad_norm_`. Low for values that are reduced elsewhere:
ranks that have the same data get the same value.

## References
- [FullyShardedDataParallel.clip_grad_norm_](https://docs.pytorch.org/docs/stable/fsdp.html#torch.distributed.fsdp.FullyShardedDataParallel.clip_grad_norm_)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Assign,
    Attribute,
    Branch,
    Call,
    Confidence,
    Name,
    Place,
    Report,
    Rule,
    Target,
    assignments,
    blocks,
    calls,
    dotted_name,
    expressions,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collectivelint.api import Block, Expr, Findings, Function, FunctionFacts, Span

RULE: Final = Rule(
    "CL111",
    "partial-value",
    "a value of one rank's part used as that of the whole",
    holds="between ranks",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for facts in findings.analysis.functions:
        yield from _norms(findings, facts)
    yield from _twins(findings)


def _norms(findings: Findings, facts: FunctionFacts) -> Iterator[Report]:
    """The gradient norms of shards."""
    function = facts.function
    if not any(isinstance(part, Attribute) and part.name == "parameters" for part in expressions(function.body)):
        return
    for call, conditions, statement in _calls_in(function.body):
        name = dotted_name(call.function) or ""
        if (
            not call.args
            or not any(known.endswith(name.rpartition(".")[2]) for known in findings.analysis.catalog.own_norms)
            or _resolved(findings, function, name) not in findings.analysis.catalog.own_norms
        ):
            continue
        match call.args[0]:
            case Call(function=Attribute(value=(Name() | Attribute()) as model, name="parameters")):
                pass
            case _:
                continue
        wrapped = _wrapping(findings, function, model, call.span)
        if wrapped is None or any("fsdp" in word for test in conditions for word in _words(test)):
            continue
        if Attribute(model, "clip_grad_norm_") in expressions(function.body):
            continue
        path, span, always = wrapped
        yield Report(
            path=function.path,
            span=call.span,
            statement=statement,
            function=function.qualname,
            message=f"each rank computes the norm of its own shards of `{dotted_name(model)}` and scales them by a different factor",
            severity="error",
            trail=(
                Place(path, span, "source", "the parameters are sharded here"),
                Place(function.path, call.span, "note", "the norm of this rank's shards"),
            ),
            help=f"call `{dotted_name(model)}.clip_grad_norm_(...)`, which reduces the norm over all ranks",
            confidence=Confidence.HIGH if always else Confidence.MEDIUM,
        )


def _resolved(findings: Findings, function: Function, name: str) -> str | None:
    target = findings.analysis.program.resolve(function.path, name)
    return None if target is None else target.name


def _calls_in(
    block: Block, conditions: tuple[Expr, ...] = (), left: tuple[Expr, ...] = ()
) -> Iterator[tuple[Call, tuple[Expr, ...], Span]]:
    """The calls of a block, with the conditions around them and those that led out of it before."""
    for statement in block:
        for call in calls(statement):
            yield call, (*conditions, *left), statement.span
        inside = (*conditions, statement.test) if isinstance(statement, Branch) else conditions
        for inner in blocks(statement):
            yield from _calls_in(inner, inside, left)
        if isinstance(statement, Branch):
            left = (*left, statement.test)


def _words(test: Expr) -> Iterator[str]:
    for part in walk(test):
        if isinstance(part, (Name, Attribute)):
            yield (part.id if isinstance(part, Name) else part.name).lower()


def _wrapping(findings: Findings, function: Function, model: Expr, call: Span) -> tuple[str, Span, bool] | None:
    """Where a model is wrapped so that its parameters are shards, and whether no condition decides about that.

    A variable is wrapped before the `call`.
    """
    places = [function]
    if isinstance(model, Attribute):
        if function.owner is None or not function.params or model.value != Name(function.params[0].name):
            return None
        program = findings.analysis.program
        owners = program.bases(Target("class", function.path, function.owner))
        places = [
            other
            for owner in owners
            for other in findings.analysis.functions_for(function.path, owner.path).values()
            if other.owner == owner.name and other.params[:1] and other.params[0].name == function.params[0].name
        ]
    for place in places:
        for one in assignments(place.body):
            is_before = isinstance(model, Attribute) or one.span < call
            if model in one.targets and is_before and _is_sharding(findings, place, one):
                return place.path, one.span, one in place.body
    return None


def _is_sharding(findings: Findings, function: Function, one: Assign) -> bool:
    """Whether an assignment wraps a model in FSDP, and not in the strategy that keeps it whole."""
    value = one.value
    if not isinstance(value, Call) or (
        _resolved(findings, function, dotted_name(value.function) or "") not in findings.analysis.catalog.own_shards
    ):
        return False
    strategy = dict(value.keywords).get("sharding_strategy")
    # What is not written out may keep it whole as well.
    return strategy is None or (isinstance(strategy, Attribute) and strategy.name != "NO_SHARD")


def _twins(findings: Findings) -> Iterator[Report]:
    """The results that are logged as they are, of functions whose result another call of the same file reduces."""
    results: dict[tuple[str, Target], list[tuple[FunctionFacts, Assign, Call, str]]] = {}
    reducing = {call.function.path for call in findings.analysis.calls() if call.api.category == "collective"}
    for facts in findings.analysis.functions:
        for one in assignments(facts.function.body) if facts.function.path in reducing else ():
            match one:
                case Assign(targets=(Name(id=name),), value=Call() as call):
                    target = findings.analysis.program.resolve(facts.function.path, dotted_name(call.function) or "")
                    if target is not None and target.kind == "function":
                        results.setdefault((facts.function.path, target), []).append((facts, one, call, name))
                case _:
                    pass
    for (path, target), found in results.items():
        if len(found) < 2 or _shares(findings, path, target):
            continue
        shared = [item for item in found if _is_shared(item[0], item[3])]
        for facts, one, call, name in found if shared else ():
            if (facts, one, call, name) in shared or not _is_shown(findings, facts.function.body, name):
                continue
            twin, reduced = shared[0][:2]
            yield Report(
                path=path,
                span=call.span,
                statement=one.span,
                function=facts.function.qualname,
                message=f"`{name}` is logged with this rank's value only, but the result of another call of"
                f" `{dotted_name(call.function)}` is reduced over the ranks",
                severity="warning",
                trail=(
                    Place(twin.function.path, reduced.span, "note", "this one is reduced"),
                    Place(path, call.span, "source", "this one is not"),
                ),
                help="reduce it in the same way before it is logged",
                confidence=Confidence.LOW,
            )


def _shares(findings: Findings, path: str, target: Target) -> bool:
    """Whether a function of the program runs collectives by which its result may be the same on all ranks."""
    facts = findings.analysis.facts_for(path, target)
    return facts is None or any(event.kind == "collective" for event in facts.events)


def _made_of(block: Block, name: str) -> set[str]:
    """The variables that something is made of a variable for."""
    found = {name}
    for one in assignments(block):
        if _mentions(one.value, found):
            found |= {target.id for target in one.targets if isinstance(target, Name)}
    return found


def _mentions(expr: Expr, names: set[str]) -> bool:
    return any(isinstance(part, Name) and part.id in names for part in walk(expr))


def _is_shared(facts: FunctionFacts, name: str) -> bool:
    """Whether a collective of a function is given a variable, or what is made of it."""
    names = _made_of(facts.function.body, name)
    return any(
        call.api.category == "collective" and _mentions(expr, names)
        for call in facts.calls
        for role, expr in call.exprs.items()
        if role != "self"
    )


def _is_shown(findings: Findings, block: Block, name: str) -> bool:
    """Whether a variable, or what is made of it, is logged."""
    names, reporting = _made_of(block, name), findings.analysis.catalog.reporting
    shown: Sequence[Call] = [part for part in expressions(block) if isinstance(part, Call)]
    return any(
        not reporting.isdisjoint(_names_of(call))
        and any(_mentions(given, names) for given in (*call.args, *(value for _, value in call.keywords)))
        for call in shown
    )


def _names_of(call: Call) -> tuple[str, str]:
    """What the catalogue may know a call by: `builtins.print`, `methods.info`."""
    name = dotted_name(call.function) or ""
    return f"builtins.{name}", f"methods.{name.rpartition('.')[2]}"
