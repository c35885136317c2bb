"""Reports a state dict that is used after the tensors it was taken from have been changed in place.

## What it does
Finds `state = model.state_dict()`, then a change of tensors in place, by a method whose name ends in an underscore or by a
function of the program that is given the model and does so, and then `model.load_state_dict(state)` in the same function.

## Why is this bad
It works as long as the state dict shares its storage with the model: then it holds the new values. A state dict that
was copied, moved to the CPU, gathered or loaded from a file holds the old ones, and loading it silently undoes the
change. Which of the two it is depends on code elsewhere.

## Example
```python
import torch


def restore(model: torch.nn.Module, counts: torch.Tensor):
    state = model.state_dict()
    model.counts.copy_(counts)
    model.load_state_dict(state)  # CL409
```

## Use instead
```python
import torch


def restore(model: torch.nn.Module, counts: torch.Tensor):
    model.counts.copy_(counts)
    state = model.state_dict()
    model.load_state_dict(state)
```

## References
- [torch.nn.Module.state_dict](https://docs.pytorch.org/docs/stable/generated/torch.nn.Module.html#torch.nn.Module.state_dict)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Assign, Attribute, Call, Name, Place, Report, Rule, blocks, calls, dotted_name, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Block, Findings, Note, Span, Statement


RULE: Final = Rule(
    "CL409",
    "stale-state-dict",
    "a state dict used after its tensors have been changed in place",
    default=False,
    holds="in programs",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such load."""
    for facts in findings.analysis.functions:
        changes = [note for note in facts.notes if note.kind == "in place"]
        if not changes:
            continue
        taken: dict[str, tuple[str, Span]] = {}
        for statement in _statements(facts.function.body):
            for call in calls(statement):
                loaded = _loads(call)
                if loaded is None or loaded[1] not in taken:
                    continue
                model, since = taken[loaded[1]]
                between = [note for note in changes if since < note.span < call.span and _touches(note, model)]
                if model != loaded[0] or not between:
                    continue
                path = facts.function.path
                yield Report(
                    path=path,
                    span=call.span,
                    statement=statement.span,
                    function=facts.function.qualname,
                    message=f"`{loaded[1]}` was taken before `{model}` was changed in place; it contains the change only if"
                    " they share storage",
                    severity="warning",
                    trail=(
                        Place(path, since, "source", "the state is taken"),
                        Place(path, between[0].span, "note", "tensors are changed in place"),
                        Place(path, call.span, "note", "and loaded back"),
                    ),
                    help="take the state again after the change, or change the state itself",
                )
            match statement:
                case Assign(targets=(Name(id=name),), value=Call(function=Attribute(value=owner, name="state_dict"))):
                    taken[name] = (dotted_name(owner) or "", statement.span)
                case Assign(targets=targets):
                    for target in targets:
                        taken.pop(target.id if isinstance(target, Name) else "", None)


def _statements(block: Block) -> Iterator[Statement]:
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from _statements(inner)


def _loads(call: Call) -> tuple[str, str] | None:
    """The model and the variable of `model.load_state_dict(variable)`."""
    match call:
        case Call(function=Attribute(value=owner, name="load_state_dict"), args=(Name(id=name), *_)):
            return dotted_name(owner) or "", name
        case _:
            return None


def _touches(note: Note, model: str) -> bool:
    """Whether the change is to the model, or to a tensor of it."""
    names = [dotted_name(part) or "" for expr in note.exprs for part in walk(expr)]
    return any(name == model or name.startswith(f"{model}.") for name in names)
