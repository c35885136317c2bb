"""Reports a path that one rank makes while another still looks for it.

## What it does
Looks at functions that ask for a rank before they use files, and at all functions in files that make collectives. Reported
is
- a check that raises if a path exists, where the same function makes or writes that path afterwards, and no collective
  stands in between;
- `if not os.path.exists(path):` followed by making that path in a way that fails if it is there (`makedirs` or `mkdir`
  without `exist_ok=True`, a symbolic link), by all ranks at once, in a function that has to do with several ranks.

A check, or a path, that is one rank's own is left alone.

## Why is this bad
The ranks do not run in step. One has made the path when another looks: that one raises, alone, and the others wait for it
in the next collective. It happens once in many runs, on a busy file system.

## Example
```python
import os

import torch.distributed as dist


def prepare(folder, group: dist.ProcessGroup):
    if os.path.exists(folder):  # CL404
        raise FileExistsError(folder)
    os.makedirs(folder, exist_ok=True)
    dist.barrier(group=group)
```

## Use instead
```python
import os

import torch.distributed as dist


def prepare(folder, group: dist.ProcessGroup):
    if os.path.exists(folder):
        raise FileExistsError(folder)
    dist.barrier(group=group)
    os.makedirs(folder, exist_ok=True)
    dist.barrier(group=group)
```

## References
- [torch.distributed.barrier](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.barrier)
- [os.makedirs](https://docs.python.org/3/library/os.html#os.makedirs)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.analysis.effects import events
from collectivelint.analysis.handles import blocks
from collectivelint.analysis.names import plain
from collectivelint.events import Assign, Branch, Exit, Logical, Name, Not, walk
from collectivelint.rule import Findings, Place, Report, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.analysis.facts import FileUse, FunctionFacts
    from collectivelint.events import Block, Expr, Span

RULE: Final = Rule("CL404", "missing-barrier", "a path that one rank makes while another still looks for it")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such check, or each such call that makes a path."""
    distributed = {facts.function.path for facts in findings.analysis.functions if next(events(facts.term), None)}
    for facts in findings.analysis.functions:
        looks = any(use.use == "look" and not use.few for use in facts.files)
        # A rank that is asked for says as much as a collective: there are others.
        if looks and (facts.function.path in distributed or any(use.few for use in facts.files)):
            yield from _races(facts)


def _races(facts: FunctionFacts) -> Iterator[Report]:
    lines = [event.place[0].line for event in events(facts.term)]
    lines += [call.span.line for call in facts.calls if call.api.category in ("collective", "implicit")]
    # Tools make folders as well, in files that also train: the function itself has to be about several ranks.
    several = bool(lines or facts.calls)
    branches = list(_branches(facts.function.body))
    for branch in branches:
        for look in facts.files:
            if look.use != "look" or look.few or not _holds(branch.test_span, look.span):
                continue
            if any(_holds(outer.span, look.span) and _names_a_rank(outer.test) for outer in branches):
                continue
            for use in facts.files:
                if use.use == "look" or use.span < look.span or not _same(facts, look, use):
                    continue
                if any(look.span.line <= line <= use.span.line for line in lines):
                    continue
                inside = _holds(branch.span, use.span)
                if not inside and _raises(branch) and not _is_negated(branch.test):
                    message = (
                        "ranks that look only after another one has made the path raise here, and the others go on"
                    )
                    yield _report(facts, look, look, use, message)
                    break
                if (
                    several
                    and inside
                    and use.use == "make"
                    and not use.few
                    and not use.tolerant
                    and _is_negated(branch.test)
                ):
                    message = "all ranks look for the path and then make it; those that come second fail"
                    yield _report(facts, use, look, use, message)
                    break


def _report(facts: FunctionFacts, at: FileUse, look: FileUse, use: FileUse, message: str) -> Report:
    path = facts.function.path
    return Report(
        path=path,
        span=at.span,
        statement=at.statement,
        function=facts.function.qualname,
        message=message,
        severity="error",
        trail=(
            Place(path, look.span, "condition", "every rank looks for the path"),
            Place(path, use.span, "note", "it is made here, with no collective in between"),
        ),
        help="put a barrier between them, or let one rank look and share what it found; `exist_ok=True` if that is enough",
    )


#: Parts of names by which projects ask for one rank, where it could not be resolved what they call.
_ONE: Final = ("rank", "main", "master", "leader", "root", "zero", "primary", "coordinator", "chief")


def _names_a_rank(test: Expr) -> bool:
    names = [name for part in walk(test) if (name := getattr(part, "id", None) or getattr(part, "name", None))]
    return any(word in name.lower() for name in names if isinstance(name, str) for word in _ONE)


def _branches(block: Block) -> Iterator[Branch]:
    for statement in block:
        if isinstance(statement, Branch):
            yield statement
        for inner in blocks(statement):
            yield from _branches(inner)


def _holds(outer: Span, inner: Span) -> bool:
    start, end = (outer.line, outer.column), (outer.end_line, outer.end_column)
    return start <= (inner.line, inner.column) and (inner.end_line, inner.end_column) <= end


def _raises(branch: Branch) -> bool:
    last = branch.then[-1] if branch.then else None
    return isinstance(last, Exit) and last.kind == "raise"


def _is_negated(test: Expr) -> bool:
    """Is it a check that the path is not there, whatever else is asked?"""
    if isinstance(test, Logical):
        return any(isinstance(value, Not) and "xist" in _word(value) for value in test.values)
    return isinstance(test, Not)


def _word(expr: Not) -> str:
    function = getattr(expr.value, "function", None)
    return "" if function is None else (plain(function) or "").rpartition(".")[2]


def _same(facts: FunctionFacts, look: FileUse, use: FileUse) -> bool:
    """Is it the same path: the same value, or the same name with nothing assigned to it in between?"""
    if look.form == use.form:
        return True
    if not isinstance(look.expr, Name) or look.expr != use.expr:
        return False
    return not any(look.span < span < use.span for span in _assigned(facts.function.body, look.expr.id))


def _assigned(block: Block, name: str) -> Iterator[Span]:
    for statement in block:
        if isinstance(statement, Assign) and Name(name) in statement.targets:
            yield statement.span
        for inner in blocks(statement):
            yield from _assigned(inner, name)
