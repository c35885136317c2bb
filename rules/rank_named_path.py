"""Reports a shared path that each rank names from its own clock or random numbers.

## What it does
Follows a reading of the clock, or a random number without a common seed, into the names of paths. It reports the
reading if such a path
- is a checkpoint that the ranks write or read together (`torch.distributed.checkpoint`, `accelerator.save_state`, ...);
- is written by one rank and read by others, or the other way round;
- is a folder that one rank creates and others write to;
- is used by all ranks and removed or renamed by one of them (with low confidence: it may be the one that has used it).

A path that each rank uses for itself, such as a log file, is not reported; neither is a name that was broadcast, or
that has the day without a time: ranks that start together build the same name.

## Why is this bad
The ranks do not start in the same second. Those that start a second later use a different folder: the checkpoint is
split over several folders, or what one rank has written is not found. It works on one node and fails on a hundred.

## Example
```python
import time

import torch.distributed as dist
import torch.distributed.checkpoint as dcp


def save(state, root, group: dist.ProcessGroup):
    folder = f"{root}/{int(time.time())}"  # CL411
    dcp.save(state, checkpoint_id=folder, process_group=group)
```

## Use instead
```python
import time

import torch.distributed as dist
import torch.distributed.checkpoint as dcp


def save(state, root, group: dist.ProcessGroup):
    now = [int(time.time())]
    dist.broadcast_object_list(now, group_src=0, group=group)
    folder = f"{root}/{now[0]}"
    dcp.save(state, checkpoint_id=folder, process_group=group)
```

## Confidence
Low: the ranks have to read the clock in different seconds, which is likely only with many ranks, and often only one rank
uses the name.

## References
- [torch.distributed.broadcast_object_list](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.broadcast_object_list)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import Confidence, Place, Report, Rule, statement_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Cause, Findings, FunctionFacts, Span, Stamped

RULE: Final = Rule(
    "CL411",
    "rank-named-path",
    "a shared path that each rank names from its own clock or random numbers",
    holds="where ranks differ",
)

_READING: Final = frozenset({"read", "list", "look"})
_WRITING: Final = frozenset({"write", "fill", "save"})
_WHAT: Final = {"clock": "its own clock", "random": "its own random numbers"}
_REMOVING: Final = frozenset({"move", "remove"})
#: What takes all ranks.
_TOGETHER: Final = frozenset({"checkpoint", "restore"})
_HOW: Final = {
    "read": "is read here",
    "list": "is listed here",
    "look": "is checked here",
    "make": "is created here",
    "move": "is moved here",
    "remove": "is removed here",
}


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each reading of the clock, or random number."""
    by_cause: dict[tuple[str, Cause], list[tuple[FunctionFacts, Stamped]]] = {}
    for facts in findings.analysis.outside_tests:
        for use in facts.stamped:
            by_cause.setdefault((facts.function.path, use.cause), []).append((facts, use))
    for (path, cause), uses in by_cause.items():
        pair = _shared(uses)
        if not pair:
            continue
        facts, first = next(((facts, use) for facts, use in uses if use in pair))
        span = cause.span if cause.path == path else _named(findings, facts, cause) or first.span
        around = _function(findings, path, cause) if cause.path == path else facts
        yield Report(
            path=path,
            span=span,
            statement=statement_at(around, span),
            function=around.function.qualname,
            message=f"each rank builds this path from {_WHAT[cause.kind]}, but the ranks use it together",
            severity="error",
            trail=(
                Place(cause.path, cause.span, "source", f"each rank reads {_WHAT[cause.kind]}"),
                *(Place(path, use.span, "note", _text(use)) for use in pair),
            ),
            help="build the name on one rank, and broadcast it",
            confidence=Confidence.LOW,
        )


def _shared(uses: list[tuple[FunctionFacts, Stamped]]) -> tuple[Stamped, ...]:
    """The uses that show that ranks share the path: none where each may have its own."""
    found = [use for _, use in uses]
    together = next((use for use in found if use.use in _TOGETHER and not use.alone), None)
    if together is not None:
        return (together,)
    alone = [use for use in found if use.alone]
    others = [use for use in found if not use.alone]
    for one in alone:
        for other in others:
            reads = (one.use in _WRITING and other.use in _READING) or (one.use in _READING and other.use in _WRITING)
            reads = reads or (one.use in _REMOVING and other.use in _WRITING | _READING)
            if reads or (one.use == "make" and other.use in _WRITING and not any(use.use == "make" for use in others)):
                return (one, other)
    return ()


def _text(use: Stamped) -> str:
    if use.use in _TOGETHER:
        return "the ranks write or read it together"
    return f"{_HOW.get(use.use, 'is written here')}, by {'one rank' if use.alone else 'all ranks'}"


def _named(findings: Findings, facts: FunctionFacts, cause: Cause) -> Span | None:
    """The call of the function at hand whose function asks for the clock, or the random number, of the rank."""
    path = facts.function.path
    names = {
        function.qualname.rpartition(".")[2]
        for function in findings.analysis.functions_for(path, cause.path).values()
        if function.qualname != "<module>" and function.span.contains(cause.span)
    }
    calls = (found for name in sorted(names) for found in findings.analysis.calls_in(path, name))
    return next((call.span for function, call in calls if function.qualname == facts.function.qualname), None)


def _function(findings: Findings, path: str, cause: Cause) -> FunctionFacts:
    """The innermost function around a place."""
    found = [facts for facts in findings.analysis.functions if facts.function.path == path]
    return [facts for facts in found if facts.function.span.contains(cause.span)][-1]
