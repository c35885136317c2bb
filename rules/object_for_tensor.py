"""Reports a collective of Python objects that carries tensors or numbers.

## What it does
Finds `all_gather_object`, `broadcast_object_list` and similar collectives whose argument is a number (`x.item()`,
`len(...)`, a literal) or a tensor that was created in the same function.

## Why is this bad
Objects are pickled, copied to the device, sent in two collectives (the size first) and unpickled on every rank. For a
number or a tensor one collective of tensors does the same many times faster, and does not execute code from a pickle.

## Example
```python
import torch.distributed as dist


def total(loss, group: dist.ProcessGroup):
    losses = [None] * dist.get_world_size(group)
    dist.all_gather_object(losses, loss.item(), group=group)  # CL503
    return sum(losses)
```

## Use instead
```python
import torch.distributed as dist


def total(loss, group: dist.ProcessGroup):
    dist.all_reduce(loss, group=group)
    return loss.item()
```

## References
- [all_gather_object](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.all_gather_object)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Attribute, Call, Compound, Constant, Name, Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Expr, Findings


RULE: Final = Rule("CL503", "object-for-tensor", "an object collective used for tensors or numbers", default=False)

_NUMBERS: Final = frozenset({"len", "int", "float", "bool", "sum"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    for call in findings.analysis.calls():
        sent = call.exprs.get(call.api.pickles or "")
        if sent is None or not _is_numeric(sent):
            continue
        yield Report.at(
            call,
            message=f"`{call.api.op}` pickles numbers or tensors, which a collective of tensors sends as they are",
            severity="warning",
            trail=(Place(call.function.path, call.span, "collective", f"{call.api.op}, of numbers or tensors"),),
            help="put them into a tensor, and use the collective of tensors",
        )


def _is_numeric(expr: Expr) -> bool:
    match expr:
        case Compound(kind="List" | "Tuple", parts=parts):
            return bool(parts) and all(_is_numeric(part) for part in parts)
        case Constant(value=value):
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case Call(function=Attribute(name="item" | "tolist")):
            return True
        case Call(function=Name(id=name)):
            return name in _NUMBERS
        case Call(function=Attribute(value=Name(id="torch"))):
            return True
        case Compound(kind="Add" | "Sub" | "Mult" | "Div" | "FloorDiv", parts=parts):
            return any(_is_numeric(part) for part in parts) and all(
                _is_numeric(part) or isinstance(part, Name) for part in parts
            )
        case _:
            return False
