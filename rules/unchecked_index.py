"""Reports an index that is computed from received data and never checked.

## What it does
Finds an index into a tensor or list that is computed as received data minus an offset, if the function neither
compares nor clamps what it received.

## Why is this bad
The sender decides where the receiver writes. A number below the offset becomes a negative index, which is no error:
it counts from the end, and the wrong row is overwritten. An index that is too high fails an assertion on the device,
far from the cause.

## Example
```python
import torch
import torch.distributed as dist


def mark(slots: torch.Tensor, wanted: torch.Tensor, offset: int, group: dist.ProcessGroup):
    received = torch.empty_like(wanted)
    dist.all_to_all_single(received, wanted, group=group)
    slots[received - offset] = True  # CL407
```

## Use instead
```python
import torch
import torch.distributed as dist


def mark(slots: torch.Tensor, wanted: torch.Tensor, offset: int, group: dist.ProcessGroup):
    received = torch.empty_like(wanted)
    dist.all_to_all_single(received, wanted, group=group)
    mine = received - offset
    if bool(((mine < 0) | (mine >= len(slots))).any()):
        raise RuntimeError("received slots of another rank")
    slots[mine] = True
```

## Confidence
Low: what the ranks of one program send one another is mostly right.

## References
- [Tensor indexing](https://docs.pytorch.org/docs/stable/tensor_view.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Attribute, Call, Compare, Confidence, Name, Place, Report, Rule, expressions, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Expr, Findings, Note


RULE: Final = Rule("CL407", "unchecked-index", "an index from received data that is never checked", holds="in programs")

_ORDER: Final = frozenset({"<", "<=", ">", ">="})
#: Methods that keep numbers within bounds, or test where they are.
_BOUNDING: Final = frozenset({"clamp", "clamp_", "clip", "clip_", "where", "isin", "bincount", "remainder"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such index."""
    for _, note in findings.analysis.notes("index"):
        if _is_checked(note):
            continue
        path = note.function.path
        yield Report.at(
            note,
            message="an index is computed from received data without a check; a negative index counts from the end",
            severity="warning",
            trail=(
                *(Place(cause.path, cause.span, "source", "received from other ranks") for cause in note.causes),
                Place(path, note.span, "note", "used as an index"),
            ),
            help="check that it lies between 0 and the length, and raise an exception otherwise",
            # What ranks of one program send one another is usually right.
            confidence=Confidence.LOW,
        )


def _is_checked(note: Note) -> bool:
    """Whether the function compares or bounds a variable of the index."""
    names = {part.id for expr in note.exprs for part in walk(expr) if isinstance(part, Name)}
    for expr in expressions(note.function.body):
        match expr:
            case Compare(op=op, left=left, right=right) if op in _ORDER:
                looked: tuple[Expr, ...] = (left, right)
            case Call(function=Attribute(value=value, name=name), args=args) if name in _BOUNDING:
                looked = (value, *args)
            case _:
                continue
        if any(isinstance(part, Name) and part.id in names for side in looked for part in walk(side)):
            return True
    return False
