"""Reports an exception that only one rank raises while the others go on to a collective.

## What it does
Finds a `raise` on one rank (under `if rank == 0:`, `if accelerator.is_main_process:` ...) where the other ranks go on
to a collective, and no communication before it shares the error. An `except` that raises again there counts too, and
so does code that can fail only on the rank that runs it: using a match that may be None, or the first, last or
largest of the files in a folder that may be empty.

A `raise` where a condition on a rank's own data is true (`if not torch.isfinite(loss):`) counts as well.

## Why is this bad
The others wait in the collective. A launcher that ends the job when one process fails, as torchrun does, ends them.
Other launchers do not, a handler further up may catch the exception and keep the process alive, and the failed rank
may itself wait for the others in its clean-up. Then the job idles until the timeout, and its last message is about
the collective, not about the cause.

## Example
```python
import os

import torch.distributed as dist


def prepare(folder, group: dist.ProcessGroup):
    if dist.get_rank(group) == 0:
        if os.path.exists(folder):
            raise FileExistsError(folder)  # CL210
        os.makedirs(folder)
    dist.barrier(group=group)
```

## Use instead
```python
import os

import torch.distributed as dist


def prepare(folder, group: dist.ProcessGroup):
    found = [os.path.exists(folder) if dist.get_rank(group) == 0 else None]
    dist.broadcast_object_list(found, group=group, group_src=0)
    if found[0]:
        raise FileExistsError(folder)
    if dist.get_rank(group) == 0:
        os.makedirs(folder)
    dist.barrier(group=group)
```

## Confidence
Low: an exception that is not caught ends the rank, and a launcher that sees it ends the job, as is usually meant.

## References
- [torch.distributed.elastic: Error propagation](https://docs.pytorch.org/docs/stable/elastic/errors.html)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from collectivelint.api import Confidence, Place, Report, Rule, cause_text, lone_failures, lone_raises

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.api import Findings

RULE: Final = Rule(
    "CL210",
    "lone-raise",
    "an exception that one rank raises while the other ranks go on to a collective",
    holds="where ranks part",
)


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each `raise`."""
    for facts in findings.analysis.functions:
        for found in lone_raises(facts.term):
            guard, event, path = found.guard, found.event, facts.function.path
            where = findings.text(guard.path, guard.span)
            yield Report(
                path=path,
                span=found.span,
                statement=found.span,
                function=facts.function.qualname,
                message=f"only {'ranks' if found.guard is found.check else 'the rank'} where `{where}` is"
                f" {'true' if found.holds is guard.positive else 'false'} raise{'' if found.guard is found.check else 's'} here,"
                f" while the other ranks go on to `{event.op}` and wait for it there",
                severity="error",
                trail=(
                    *(Place(cause.path, cause.span, "source", cause_text(cause)) for cause in guard.causes),
                    Place(guard.path, guard.span, "condition", "condition"),
                    *(
                        ()
                        if found.check is guard
                        else (Place(found.check.path, found.check.span, "condition", "the check that one rank makes"),)
                    ),
                    Place(path, event.place[0], "collective", f"{event.op}, where the other ranks wait"),
                ),
                help="share the result of the check (broadcast_object_list, or all_reduce of a flag), then raise on all ranks",
                confidence=Confidence.LOW,
            )
    yield from _not_found(findings, "nothing")
    yield from _not_found(findings, "empty")


def _not_found(findings: Findings, kind: Literal["nothing", "empty"]) -> Iterator[Report]:
    """One finding for each place where one rank uses what it may not have found."""
    for facts, note, event in lone_failures(findings.analysis, kind):
        place = (
            Place(event.chain[0].path, event.chain[0].span, "collective", f"{event.op}, where the other ranks wait")
            if event.chain
            else Place(event.path, event.span, "collective", f"{event.op}, where the other ranks wait")
        )
        yield Report(
            path=facts.function.path,
            span=note.span,
            statement=note.statement,
            function=facts.function.qualname,
            message=f"{_REASONS[kind]}: then only the rank that runs this line raises an exception, while the other ranks go"
            f" on to `{event.op}` and wait for it there",
            severity="warning",
            trail=(
                *(Place(cause.path, cause.span, "source", cause_text(cause)) for cause in note.causes),
                Place(facts.function.path, note.span, "note", _NOTES[kind]),
                place,
            ),
            help="check the result before it is used",
            confidence=Confidence.LOW,
        )


_REASONS: Final = {
    "nothing": "the result is None if nothing is found",
    "empty": "the element is missing if the folder has no files",
}
_NOTES: Final = {
    "nothing": "the result is not checked before it is used",
    "empty": "the folder is not checked for files",
}
