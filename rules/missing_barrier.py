"""Reports a path that one rank creates while another one still checks for it.

## What it does
Looks at functions that check a rank before they use files, and at all functions in files that run collectives. It
reports
- with low confidence, a check that raises if a path exists, if the same function creates or writes that path
  afterwards, with no collective in between;
- `if not os.path.exists(path):` followed by creating that path in a way that fails if it exists (`makedirs` or
  `mkdir` without `exist_ok=True`, a symbolic link), on all ranks at the same time, in a function that deals with
  several ranks;
- with low confidence, a path that one rank writes while others read or list it, or removes while others use it, with
  no collective in between;
- with low confidence, a folder that one rank creates, lists, moves or removes while others write into it;
- with low confidence, `if not os.path.exists(folder):` followed by unpacking, copying or downloading something there,
  in a file that runs collectives, or has a function that takes a rank and the number of ranks;
- with low confidence, a call whose result one rank of the job assigns before a barrier, and the other ranks after it:
  the ranks of other nodes do not find what it downloads or builds if each node has its own disk.

If a rank passes a path that it has not found to an unknown function (`if not os.path.exists(path): build(path)`),
that function is assumed to create it.

Not reported are a check on, or a path of, one rank only, and a path that the function has created before: on all
ranks, or on one of them before a collective of all. A check for a folder does not match a file that is written, a
check for files does not match a folder that is created, and neither do two places under conditions that exclude each
other. Confidence is low if all callers in the same file have created the path, in notebooks, and in programs that
check no rank and have one process unless they are launched.

## Why is this bad
The ranks do not run in step. If one rank creates the path before another rank checks for it, that other rank raises,
and all others wait for it in the next collective. It happens once in many runs, on a busy file system.

## Example
```python
import os

import torch.distributed as dist


def prepare(folder, group: dist.ProcessGroup):
    if not os.path.exists(folder):
        os.makedirs(folder)  # CL404
    dist.barrier(group=group)
```

## Use instead
```python
import os

import torch.distributed as dist


def prepare(folder, group: dist.ProcessGroup):
    os.makedirs(folder, exist_ok=True)
    dist.barrier(group=group)
```

## References
- [torch.distributed.barrier](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.barrier)
- [os.makedirs](https://docs.python.org/3/library/os.html#os.makedirs)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from collectivelint.api import (
    Confidence,
    Place,
    Report,
    Rule,
    Target,
    call_fix,
    events,
    filled_where_missing,
    first_of_job,
    is_test,
    made_by_callers,
    out_of_turn,
    places_of,
    races,
    runs_on_all,
    statement_at,
    takes_ranks,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import libcst as cst

    from collectivelint.api import Cause, Findings, FixBuilder, FunctionFacts, Race, Span


RULE: Final = Rule(
    "CL404",
    "missing-barrier",
    "a path that one rank creates and another reads without a barrier between",
    holds="where ranks differ",
)


class _Words(NamedTuple):
    """What a report says of two uses of a path that are out of turn: of both, of the first and of the second one."""

    message: str
    first: str
    then: str


_OUT_OF_TURN: Final = {
    "read": _Words(
        "other ranks read here what one rank writes, without waiting until it is written",
        "one rank writes it",
        "other ranks read it",
    ),
    "removed": _Words(
        "one rank removes a path here that other ranks may still read: nothing synchronises the ranks in between",
        "all ranks use it",
        "one rank removes it",
    ),
    "made": _Words(
        "each rank writes here into a folder that one rank creates, without waiting until it exists",
        "one rank creates the folder",
        "each rank writes into it",
    ),
    "unfinished": _Words(
        "one rank uses a folder here into which other ranks may still write: nothing synchronises the ranks in between",
        "each rank writes into it",
        "one rank reads, moves or removes it",
    ),
}


#: So many look-ups of one function are shown.
_MOST: Final = 6


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such check, or each such call that makes a path."""
    distributed = {facts.function.path for facts in findings.analysis.functions if next(events(facts.term), None)}
    for facts in findings.analysis.functions:
        path = facts.function.path
        yield from _out_of_turn(findings, facts)
        yield from _filled(findings, facts, distributed)
        yield from () if is_test(path) else _first_of_job(findings, facts)
        # A rank that is asked for says as much as a collective: there are others.
        if path not in distributed and not any(use.few for use in facts.files):
            continue
        for note in facts.notes:
            if note.kind == "temporary":
                yield Report.at(
                    note,
                    message="the temporary folder is removed while other ranks may still use it",
                    severity="error",
                    trail=(
                        *(
                            Place(cause.path, cause.span, "source", "only some ranks create it")
                            for cause in note.causes
                        ),
                        Place(path, note.span, "note", "they leave without waiting for the other ranks"),
                    ),
                    help="call a barrier on all ranks at the end of the `with`, in a `finally`",
                )
        for race in races(facts, findings.analysis.catalog.hints):
            at, message = race.use, "all ranks check for the path and then create it; every rank but the first fails"
            if race.kind == "raises":
                at = race.look
                message = (
                    "ranks that check after another rank has created the path raise here, while the other ranks go on"
                )
            yield Report(
                path=path,
                span=at.span,
                statement=at.statement,
                function=facts.function.qualname,
                message=message,
                severity="error",
                trail=(
                    Place(path, race.look.span, "condition", "every rank checks for the path"),
                    Place(path, race.use.span, "note", "it is created here, with no collective in between"),
                ),
                help="put a barrier between them, or check on one rank and broadcast the result;"
                " `exist_ok=True` if that is enough",
                confidence=_confidence(findings, facts, race),
                fix=_tolerating(race) if race.kind == "twice" and race.use.use == "make" else None,
            )


def _out_of_turn(findings: Findings, facts: FunctionFacts) -> Iterator[Report]:
    """What one rank writes and others read, or the other way round, before all have met."""
    catalog, path = findings.analysis.catalog, facts.function.path
    if is_test(path):
        return
    reported: set[tuple[Span, Cause]] = set()
    for found in out_of_turn(facts, catalog.hints, catalog.waiting_words):
        if found.kind == "rewritten" or (found.at, found.then.cause) in reported:
            continue
        reported.add((found.at, found.then.cause))
        words = _OUT_OF_TURN[found.kind]
        yield Report(
            path=path,
            span=found.at,
            statement=statement_at(facts, found.at),
            function=facts.function.qualname,
            message=words.message,
            severity="error",
            trail=(
                *places_of(path, found.site, found.first.cause, words.first),
                *places_of(path, found.at, found.then.cause, words.then),
            ),
            help="put a barrier of all ranks between them",
            # Usually much is done between the two, which takes longer.
            confidence=Confidence.LOW,
        )


def _filled(findings: Findings, facts: FunctionFacts, distributed: set[str]) -> Iterator[Report]:
    """What each rank unpacks, copies or downloads where it has not found it, in a file that is about several ranks.

    Of a function that runs collectives itself it is reported as a path that all ranks write.
    """
    catalog, path = findings.analysis.catalog, facts.function.path
    functions = findings.analysis.program.functions(path).values()
    if is_test(path) or runs_on_all(facts) or not (path in distributed or takes_ranks(functions, catalog)):
        return
    found = list(filled_where_missing(facts, catalog.writer_words, catalog.own_words))
    if found:
        _, first, _ = found[0]
        yield Report(
            path=path,
            span=first,
            statement=statement_at(facts, first),
            function=facts.function.qualname,
            message="all ranks that do not find the path fill it at the same time, and a rank that checks later finds it incomplete",
            severity="error",
            trail=tuple(
                place
                for look, site, use in found[:_MOST]
                for place in (
                    Place(path, look.span, "condition", "every rank checks for the path"),
                    *places_of(path, site, use.cause, "every rank that does not find it fills it"),
                )
            ),
            help="let one rank fill it, and make the other ranks wait for it",
            confidence=Confidence.LOW,
        )


def _first_of_job(findings: Findings, facts: FunctionFacts) -> Iterator[Report]:
    """What one rank of the job makes before the others, which is there for its own node alone where the nodes share no disk."""
    catalog, path = findings.analysis.catalog, facts.function.path
    for first, barrier, then in first_of_job(facts, catalog.hints, catalog.own_words):
        yield Report(
            path=path,
            span=then,
            statement=statement_at(facts, then),
            function=facts.function.qualname,
            message="one rank of the job goes first, then all others at the same time: on other nodes no rank has"
            " gone first, unless the nodes share a file system",
            severity="error",
            trail=(
                Place(path, first, "call", "one rank of the job calls it"),
                Place(path, barrier, "collective", "the other ranks wait for it"),
                Place(path, then, "call", "all other ranks call it at the same time"),
            ),
            help="let one rank of each node go first: check the rank on the node",
            confidence=Confidence.LOW,
        )


def _confidence(findings: Findings, facts: FunctionFacts, race: Race) -> Confidence:
    """Low where the callers in the same file have made the path: those of other files may not have.

    What raises looks when the program starts, and mostly the path is made long after.
    """
    if race.kind == "raises":
        return Confidence.LOW
    analysis, function = findings.analysis, facts.function
    called = analysis.calls_in(function.path, function.qualname.rpartition(".")[2])
    names = dict.fromkeys(caller.qualname for caller, _ in called)
    callers = [analysis.facts(Target("function", function.path, name)) for name in names]
    known = [caller for caller in callers if caller is not None and caller is not facts]
    return Confidence.LOW if made_by_callers(race, known, analysis.catalog.hints) else Confidence.HIGH


def _tolerating(race: Race) -> FixBuilder | None:
    """Builds the fix that makes it no error if the path exists, where the call has a parameter for that."""
    parameter = race.use.tolerates
    if parameter is None:
        return None

    def rewrite(node: cst.Call) -> cst.Call | None:
        import libcst as cst

        from collectivelint.api import argument, with_keyword

        given = argument(node, parameter, None)
        return with_keyword(node, parameter, cst.Name("True")) if given is None else None

    return call_fix(race.use, "display", "Allow it to exist already", rewrite)
