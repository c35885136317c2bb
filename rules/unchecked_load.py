"""Reports weights that are loaded with `strict=False` where the unmatched names are ignored.

## What it does
Finds calls that load a state dict with `strict=False` and ignore the result: the names that are missing from the
checkpoint, and those that the model does not have. Also `StateDictOptions(strict=False)`. A result that is checked,
logged or returned is not reported; neither are files that do not deal with several ranks.

## Why is this bad
A parameter whose name does not match keeps its random initial values. Sharding, wrappers, adapters and
`torch.compile` all change names (`module.`, `_orig_mod.`, the number of an expert), and so a resumed job continues
with a model that is partly untrained: the loss jumps, and no message says why.

## Example
```python
import torch
import torch.distributed as dist


def resume(model, path, group: dist.ProcessGroup):
    model.load_state_dict(torch.load(path), strict=False)  # CL412
    dist.barrier(group=group)
```

## Use instead
```python
import torch
import torch.distributed as dist


def resume(model, path, group: dist.ProcessGroup):
    missing, unexpected = model.load_state_dict(torch.load(path), strict=False)
    if missing or unexpected:
        raise RuntimeError(f"{path} lacks {missing}, and has {unexpected} beside")
    dist.barrier(group=group)
```

## References
- [torch.nn.Module.load_state_dict](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.load_state_dict)
- [torch.distributed.checkpoint.state_dict.StateDictOptions](https://docs.pytorch.org/docs/stable/distributed.checkpoint.html#torch.distributed.checkpoint.state_dict.StateDictOptions)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Assign,
    Attribute,
    Call,
    Compound,
    Confidence,
    Constant,
    Evaluate,
    Name,
    Place,
    Report,
    Rule,
    blocks,
    calls,
    parts,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from collectivelint.api import Block, Expr, Findings, Statement

RULE: Final = Rule(
    "CL412",
    "unchecked-load",
    "weights loaded with `strict=False` and unmatched names ignored",
    default=False,
    holds="in programs",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such load."""
    distributed = findings.analysis.distributed()
    catalog, indexes = findings.analysis.catalog, findings.analysis.program.indexes
    for facts in findings.analysis.outside_tests:
        path, body = facts.function.path, facts.function.body
        has_options = not catalog.lenient_options.isdisjoint(indexes[path].imports)
        if path not in distributed and not has_options:
            continue
        for statement in _statements(body):
            found = _ignored_loads(statement, catalog.lenient_loads, body) if path in distributed else []
            if has_options:
                found += [
                    call for call in calls(statement) if _is_lenient(call, catalog.lenient_options, positional=False)
                ]
            for call in found:
                yield Report(
                    path=path,
                    span=call.span,
                    statement=statement.span,
                    function=facts.function.qualname,
                    message="names that do not match are silently skipped here: those parameters keep their values",
                    severity="warning",
                    trail=(
                        Place(path, call.span, "note", "loads with `strict=False`, and the returned names are ignored"),
                    ),
                    help="load with `strict=True`, or check the missing and unexpected names that it returns",
                    confidence=Confidence.MEDIUM,
                )


def _statements(block: Block) -> Iterator[Statement]:
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from _statements(inner)


def _is_lenient(call: Call, names: Collection[str], *, positional: bool) -> bool:
    """Whether a call of something of these last names says `strict=False`, by name or as the second argument."""
    function = call.function
    name = function.name if isinstance(function, Attribute) else function.id if isinstance(function, Name) else ""
    if name not in names:
        return False
    given = dict(call.keywords).get("strict")
    if given is None and len(call.args) > 1 and positional:
        given = call.args[1]
    return given == Constant(False)  # the constant itself


def _ignored_loads(statement: Statement, loads: Collection[str], body: Block) -> list[Call]:
    """The lenient load that a statement is, if nothing reads what it returns."""
    match statement:
        case Evaluate(value=Call() as call) if _is_lenient(call, loads, positional=True):
            return [call]
        case Assign(targets=targets, value=Call() as call) if _is_lenient(call, loads, positional=True):
            names = {name for target in targets for name in _names(target)}
            return [call] if names and not _are_read(names, body) else []
        case _:
            return []


def _names(target: Expr) -> Iterator[str]:
    match target:
        case Name(id=name):
            yield name
        case Compound(parts=elements):
            for part in elements:
                yield from _names(part)
        case _:
            # An attribute may be read anywhere.
            yield ""


def _are_read(names: Collection[str], body: Block) -> bool:
    """Whether a name is read anywhere; a tuple that is assigned to is not."""
    read = (
        expr
        for statement in _statements(body)
        for part in parts(statement)
        if not (isinstance(statement, Assign) and isinstance(part, Compound) and part in statement.targets)
        for expr in walk(part)
    )
    return "" in names or any(isinstance(expr, Name) and expr.id in names for expr in read)
