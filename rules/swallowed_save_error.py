"""Reports a failed save or restore of a checkpoint that is only logged, or leaves no checkpoint.

## What it does
Finds a `try` whose body writes a checkpoint, or restores one, and that catches any exception only to log it: the job
continues as if nothing had happened. Handlers that raise again, end the process, set a variable or return a value
that informs the caller are not reported; neither are files that do not deal with several ranks.

Also finds a method that removes the checkpoint it remembers from its last run before it writes the new one.

## Why is this bad
One warning among thousands of lines of log is the only sign that no checkpoint was written, until the job fails and
restarts from days ago, or from random weights. With several ranks it is worse: the rank whose write failed continues,
its part is missing from the checkpoint, and the other ranks treat the checkpoint as complete.

Writing takes minutes, and a job may be killed meanwhile: if the only checkpoint was removed before, none is left.

## Example
```python
import logging

import torch
import torch.distributed as dist

logger = logging.getLogger(__name__)


def save(state, path, group: dist.ProcessGroup):
    if dist.get_rank(group) == 0:
        try:
            torch.save(state, path)  # CL408
        except Exception as error:
            logger.warning("could not save: %s", error)
```

## Use instead
```python
import torch
import torch.distributed as dist


def save(state, path, group: dist.ProcessGroup):
    if dist.get_rank(group) == 0:
        torch.save(state, path)
```

If the job may continue without this checkpoint, count the failures, share them with the other ranks, and stop after
several.

## Confidence
Low for a failure that is only logged: usually the job is meant to continue without this checkpoint, or to start from
scratch if there is none. Medium for a checkpoint that is removed too early: the job may keep more than one.

## References
- [torch.save](https://docs.pytorch.org/docs/stable/generated/torch.save.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    Attribute,
    Call,
    Compound,
    Confidence,
    Constant,
    Evaluate,
    Exit,
    Name,
    Place,
    Report,
    Rule,
    Try,
    blocks,
    dotted_name,
    places_of,
    removed_too_early,
    statement_at,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from collectivelint.api import ApiCall, Block, Expr, FileUse, Findings, FunctionFacts, Span, Statement


RULE: Final = Rule(
    "CL408", "swallowed-save-error", "a failed save or restore of a checkpoint that is only logged", holds="in programs"
)

_BROAD: Final = frozenset({"Exception", "BaseException", "OSError", "IOError", "RuntimeError"})


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each `try`, at the first call in it that saves or restores."""
    distributed = findings.analysis.distributed()
    reporting = findings.analysis.catalog.reporting
    for facts in findings.analysis.outside_tests:
        path = facts.function.path
        if path not in distributed and not any(use.alone for use in facts.files):
            continue
        yield from _removed(facts)
        sites = list(_sites(facts))
        for attempt in _attempts(facts.function.body) if sites else ():
            if not any(_swallows(kind, block, reporting) for kind, _, block in attempt.handlers):
                continue
            inner = [other.span for other in _attempts(attempt.body)]
            found = [
                (site, what)
                for site, what in sites
                if _within(attempt.body, site.span) and not any(span.contains(site.span) for span in inner)
            ]
            for site, what in found[:1]:
                yield Report.at(
                    site,
                    message=f"if this {what} fails, the error is not raised, and the job goes on as if it had succeeded",
                    severity="warning",
                    trail=(
                        Place(path, _head(attempt), "note", "catches every error, and logs it"),
                        Place(path, site.span, "note", f"the {what}"),
                    ),
                    help="let it raise, or share the failure with the other ranks and stop after several",
                    confidence=Confidence.LOW,
                )


def _removed(facts: FunctionFacts) -> Iterator[Report]:
    """What is removed before the checkpoint that takes its place is written."""
    path = facts.function.path
    for site, removal, at, write in removed_too_early(facts):
        yield Report(
            path=path,
            span=site,
            statement=statement_at(facts, site),
            function=facts.function.qualname,
            message="the last checkpoint is removed before the new one is written: if that fails, there is none",
            severity="warning",
            trail=(
                *places_of(path, site, removal.cause, "removes the last checkpoint"),
                *places_of(path, at, write.cause, "writes the new one"),
            ),
            help="remove it after all ranks have written the new one",
            confidence=Confidence.MEDIUM,
        )


def _sites(facts: FunctionFacts) -> Iterator[tuple[FileUse | ApiCall, str]]:
    """The calls that save or restore, by position."""
    found: list[tuple[FileUse | ApiCall, str]] = [(use, "save") for use in facts.files if use.state is not None]
    found += [(call, "save") for call in facts.calls if call.api.saves is not None]
    found += [(call, "restore") for call in facts.calls if call.api.restores]
    yield from sorted(found, key=lambda item: item[0].span)


def _attempts(block: Block) -> Iterator[Try]:
    for statement in block:
        if isinstance(statement, Try):
            yield statement
        for inner in blocks(statement):
            yield from _attempts(inner)


def _swallows(kind: Expr | None, block: Block, reporting: Collection[str]) -> bool:
    """Whether a handler catches any exception and only reports it."""
    parts = kind.parts if isinstance(kind, Compound) else (kind,)
    if not any(part is None or (dotted_name(part) or "").rpartition(".")[2] in _BROAD for part in parts):
        return False
    *first, last = block or (None,)
    ends = last is None or _only_reports(last, reporting) or _returns_nothing(last)
    return ends and all(_only_reports(statement, reporting) for statement in first)


def _returns_nothing(statement: Statement) -> bool:
    return isinstance(statement, Exit) and statement.kind == "return" and statement.value in (None, Constant(None))


def _only_reports(statement: Statement | None, reporting: Collection[str]) -> bool:
    """`logger.warning(...)`, `print(...)`, or a function of any name that is called with a text."""
    match statement:
        case Evaluate(value=Call(function=function, args=args)):
            name = (
                f"methods.{function.name}" if isinstance(function, Attribute) else f"builtins.{dotted_name(function)}"
            )
            return name in reporting or (isinstance(function, Name) and bool(args) and _is_text(args[0]))
        case _:
            return False


def _is_text(expr: Expr) -> bool:
    return (isinstance(expr, Compound) and expr.kind == "JoinedStr") or (
        isinstance(expr, Constant) and isinstance(expr.value, str)
    )


def _within(block: Block, span: Span) -> bool:
    return any(statement.span.contains(span) for statement in block)


def _head(attempt: Try) -> Span:
    span = attempt.span
    return type(span)(span.line, span.column, span.line, span.column + len("try"))
