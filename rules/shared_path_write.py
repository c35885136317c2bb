"""Reports a path that every rank writes, links or removes.

## What it does
Looks at functions that deal with several ranks. It reports
- a call that writes a checkpoint, made on all ranks in one place and on one rank in another place of the same function;
- links, renames and removals of a path without a rank in it, with no rank check around them, in a function that
  checks ranks or runs collectives itself;
- a checkpoint that all ranks write to a path that only one rank writes elsewhere in the same function;
- a file that all ranks read, change and write back; what a callback that a framework runs on every rank links, moves or
  removes; and what one rank of each node removes from a folder of the whole job;
- what a function that runs collectives (or is such a callback) writes or copies, itself or in what it calls, with no
  rank check around it and no rank in the path; and what it links, renames or removes in this way;
- what one rank of each node (`LOCAL_RANK == 0`) writes to a path without a rank: that is a fault if the nodes share a
  file system.

The writes of one function are one finding; so is what a function writes to its own path, wherever it is called. Temporary folders, test code and paths that may contain the rank of a caller are not reported. Of what all ranks write,
neither is what stands under a condition, decorator or call whose name suggests one rank (`is_main()`, `save_on_master`,
`with lock:`), has such words in its path (`local_dir`, `worker`), or is an element of a loop, which may be divided
among the ranks.

## Why is this bad
The ranks share the folder. The later ranks find that the link exists already, or that the file is missing, and raise;
two ranks that write at the same time leave a file with parts of both, which is noticed only when it is loaded.

## Example
```python
import torch
import torch.distributed as dist


class Trainer:
    def save(self, path):
        torch.save(self.state, path)

    def epoch(self, step: int):
        if dist.get_rank() == 0 and step % 100 == 0:
            self.save("step.pt")
        self.save("step.pt")  # CL403
```

## Use instead
```python
import torch
import torch.distributed as dist


class Trainer:
    def save(self, path):
        torch.save(self.state, path)

    def epoch(self, step: int):
        if dist.get_rank() == 0:
            if step % 100 == 0:
                self.save("step.pt")
            self.save("step.pt")
```

## Confidence
Medium if only one rank writes elsewhere in the function, and for what one rank of each node removes from a folder of the job. Low
if the write is in another file: that is usually a cache or a download, which writes only what is missing. Low for all else: often the
content is the same, and it does damage only if a rank reads the file meanwhile.

## References
- [torchrun](https://docs.pytorch.org/docs/stable/elastic/run.html)
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    PLACES,
    Confidence,
    Place,
    Report,
    Rule,
    Target,
    hinted,
    is_for_all,
    is_given,
    is_own,
    is_plain,
    out_of_turn,
    places_of,
    removed_on_each_node,
    runs_on_all,
    saved_again,
    statement_at,
    write_pairs,
    written_by_all,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from collectivelint.api import Cause, FileUse, Findings, FunctionFacts, PathUse, Site, Span


RULE: Final = Rule(
    "CL403", "shared-path-write", "a path that every rank writes, links or removes", holds="where ranks differ"
)


#: What only one rank can do to a path, or has to.
_ONCE: Final = frozenset({"link", "move", "remove"})
#: So many writes of one function are shown.
_MOST: Final = 8
_WAIT: Final = "let one rank do it, and make the other ranks wait for it"


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    hints = findings.analysis.catalog.hints
    for facts in findings.analysis.outside_tests:
        path = facts.function.path
        for note, guarded in write_pairs(facts):
            fault = f"every rank calls `{note.callee}` here, which writes to one path; elsewhere only one rank calls it"
            trail = (
                Place(path, guarded.span, "note", "one rank calls it here"),
                *(Place(cause.path, cause.span, "note", "it writes here") for cause in note.causes),
                Place(path, note.span, "call", "all ranks call it here"),
            )
            is_own = all(cause.path == path for cause in note.causes)
            yield from _reported(note, hints, fault, trail, sure=Confidence.MEDIUM if is_own else Confidence.LOW)
        for use, guarded_use in saved_again(facts):
            fault = f"every rank reaches `{use.api}` here, with a path that only one rank writes elsewhere"
            trail = (
                Place(path, guarded_use.span, "note", "one rank writes it here"),
                Place(path, use.span, "note", "all ranks write it here"),
            )
            yield from _reported(use, hints, fault, trail, sure=Confidence.MEDIUM)
        yield from _rewritten(findings, facts)
        yield from _written_by_all(findings, facts)
        yield from _on_each_node(facts)
        for use in _written_on_each_node(facts):
            causes = [cause for guard in use.guards for cause in guard.causes if cause.kind == "rank"]
            yield Report.at(
                use,
                message=f"one rank of each node reaches `{use.api}` with the same path: if the nodes share a file"
                " system, these ranks interfere with each other",
                severity="error",
                trail=(
                    *(Place(cause.path, cause.span, "source", "a rank of this node") for cause in causes[:1]),
                    Place(path, use.span, "note", "no rank in the path"),
                ),
                help="let one rank of the job do it: check the global rank, not the rank on the node",
                confidence=Confidence.LOW,
            )
        yield from _done_once(findings, facts)


def _done_once(findings: Findings, facts: FunctionFacts) -> Iterator[Report]:
    """What every rank links, renames or removes."""
    catalog = findings.analysis.catalog
    called = _is_called_on_all(findings, facts)
    for use in facts.files:
        if use.use not in _ONCE or use.few or use.tolerant:
            continue
        is_shared = is_plain(use.path) and (called or (not use.path.uniformity.depends and _has_others(facts)))
        if not is_shared and not (
            runs_on_all(facts) and is_for_all(facts, use, catalog.writer_words, catalog.own_words)
        ):
            continue
        fault = f"every rank reaches `{use.api}` with the same path"
        trail = (Place(facts.function.path, use.span, "note", "no rank check around it, and no rank in the path"),)
        yield from _reported(use, catalog.hints, fault, trail, _WAIT)


def _rewritten(findings: Findings, facts: FunctionFacts) -> Iterator[Report]:
    """What every rank reads, changes and writes back to where it was."""
    catalog, path = findings.analysis.catalog, facts.function.path
    callers = partial(_callers, findings, facts)
    for found in out_of_turn(facts, catalog.hints, catalog.waiting_words, callers):
        if found.kind == "rewritten":
            yield Report(
                path=path,
                span=found.at,
                statement=statement_at(facts, found.at),
                function=facts.function.qualname,
                message="every rank rewrites a file that every rank reads: a rank may read it while another one writes",
                severity="error",
                trail=(
                    Place(found.first.cause.path, found.first.cause.span, "note", "every rank reads it"),
                    Place(found.then.cause.path, found.then.cause.span, "note", "every rank writes it"),
                ),
                help="let one rank do it, and make the other ranks wait for it",
                # Most programs read it when they start, and write it long after.
                confidence=Confidence.LOW,
            )


def _written_by_all(findings: Findings, facts: FunctionFacts) -> Iterator[Report]:
    """What every rank writes in a function that runs on all of them: one finding, with the other writes in its trail."""
    analysis, path = findings.analysis, facts.function.path
    if not runs_on_all(facts) and not _is_called_on_all(findings, facts):
        return

    def facts_at(cause: Cause) -> FunctionFacts | None:
        every = analysis.functions_for(path, cause.path).values()
        inner = max((one for one in every if one.span.contains(cause.span)), key=lambda one: one.span, default=None)
        return analysis.facts_for(path, Target("function", inner.path, inner.qualname)) if inner is not None else None

    catalog = analysis.catalog
    here: list[tuple[Span, PathUse]] = []
    for site, use in written_by_all(facts, catalog.writer_words, catalog.own_words, facts_at):
        is_below = (use.cause.path, use.cause.span) != (path, site)
        writer = facts_at(use.cause) if is_below else None
        if writer is None or is_given(writer, use.cause):
            here.append((site, use))
        else:
            # What a function writes wherever it is called is one fault, however many call it.
            root = f"shared write {use.cause.path}:{use.cause.span.line}:{use.cause.span.column}"
            yield replace(_written(facts, [(site, use)]), root=root, derived=True)
    if here:
        yield _written(facts, here)


def _written(facts: FunctionFacts, found: list[tuple[Span, PathUse]]) -> Report:
    path, at = facts.function.path, found[0][0]
    text = "no rank check around it, and no rank in the path"
    return Report(
        path=path,
        span=at,
        statement=statement_at(facts, at),
        function=facts.function.qualname,
        message="every rank writes here, to the same path",
        severity="error",
        trail=tuple(place for site, use in found[:_MOST] for place in places_of(path, site, use.cause, text)),
        help="let one rank write, and make the other ranks wait for it",
        confidence=Confidence.LOW,
    )


def _on_each_node(facts: FunctionFacts) -> Iterator[Report]:
    """What a rank of each node removes from a folder of the whole job."""
    path = facts.function.path
    for at, removal, shared in removed_on_each_node(facts):
        yield Report(
            path=path,
            span=at,
            statement=statement_at(facts, at),
            function=facts.function.qualname,
            message="one rank of each node removes this path, which the nodes share: all but the first no longer find it",
            severity="error",
            trail=(
                Place(shared.cause.path, shared.cause.span, "note", "one rank of the job does this"),
                *places_of(path, at, removal.cause, "one rank of each node removes it"),
            ),
            help=_WAIT,
            confidence=Confidence.MEDIUM,
        )


def _written_on_each_node(facts: FunctionFacts) -> Iterator[FileUse]:
    """What a rank of each node does to a path that has no rank in it."""
    reported = {at for at, _, _ in removed_on_each_node(facts)}
    for use in facts.files:
        asked = [guard for guard in use.guards if any(cause.kind == "rank" for cause in guard.causes)]
        if not asked or not all(guard.varies and guard.varies <= PLACES for guard in asked) or is_own(use.path):
            continue
        if use.span not in reported and (use.use in ("link", "move", "remove") or use.state is not None):
            yield use


def _callers(findings: Findings, facts: FunctionFacts) -> Iterator[FunctionFacts]:
    """The functions of the same file that call one."""
    path, analysis = facts.function.path, findings.analysis
    for caller, _ in analysis.calls_in(path, facts.function.qualname.rpartition(".")[2]):
        found = analysis.facts(Target("function", path, caller.qualname))
        if found is not None:
            yield found


def _reported(
    site: Site,
    hints: Collection[str],
    fault: str,
    trail: tuple[Place, ...],
    help: str = "let one rank write, and make the other ranks wait for it",  # noqa: A002  # as in a report
    sure: Confidence = Confidence.LOW,
) -> Iterator[Report]:
    """The report about a place that every rank gets to, unless a condition around it is named after one rank."""
    if not hinted(site.function, site.span, hints):
        yield Report.at(site, message=fault, severity="error", trail=trail, help=help, confidence=sure)


def _has_others(facts: FunctionFacts) -> bool:
    """Whether the function calls something that only makes sense among several ranks."""
    return bool(facts.term) and any(call.is_distributed for call in facts.calls)


def _is_called_on_all(findings: Findings, facts: FunctionFacts) -> bool:
    """Whether a library calls the function on every rank, by the class that it belongs to."""
    owner, program = facts.function.owner, findings.analysis.program
    if owner is None:
        return False
    bases = program.outside(Target("class", facts.function.path, owner))
    return any(name in findings.analysis.catalog.every_rank for name in bases)
