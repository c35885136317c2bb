"""Reports a process group that only some ranks create.

## What it does
`new_group`, `new_subgroups`, `split_group` and `init_device_mesh` have to be called by every rank of the job, also by
those that will not be members, and in the same order. A call that only some ranks reach is reported, and one that
ranks reach with different lists of ranks: `new_group([0, 1] if rank < 2 else [2, 3])`, or, with medium confidence,
the ranks of the group that each is in: `new_group(get_process_group_ranks(group))`. `new_group(...,
use_local_synchronization=True)` is called by the members only, and is not reported.

## Why is this bad
Creating a group synchronises all ranks through the store. If some ranks do not call it, the others wait for them, or
the next `new_group` of those ranks is paired with this one: groups get the wrong members, and the job hangs much
later.

## Example
```python
import torch.distributed as dist


def make(ranks):
    group = None
    if dist.get_rank() in ranks:
        group = dist.new_group(ranks)  # CL105
    return group
```

## Use instead
```python
import torch.distributed as dist


def make(ranks):
    group = dist.new_group(ranks)
    if dist.get_rank() in ranks:
        return group
    return None
```

## References
- [torch.distributed.new_group](https://docs.pytorch.org/docs/stable/distributed.html#torch.distributed.new_group)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.api import (
    UNKNOWN,
    WORLD,
    Call,
    Confidence,
    Name,
    Place,
    Report,
    Rule,
    assignments,
    condition_text,
    divergences_of,
    report_divergence,
    walk,
    what_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from collectivelint.api import ApiCall, Cause, Expr, Findings, FunctionFacts, Span, Symbol, Value

_ADVICE: Final = "create every group on every rank, in the same order; each rank then uses its own"
RULE: Final = Rule("CL105", "conditional-new-group", "a process group that only some ranks create", holds="of groups")


def check(findings: Findings) -> Iterator[Report]:
    """One finding for each such call."""
    reported: set[tuple[str, Span]] = set()
    for facts, divergence in divergences_of(findings, "CL105"):
        reported.add((facts.function.path, divergence.event.place[0]))
        yield report_divergence(
            facts,
            divergence,
            f"{what_text(divergence)}, but only ranks where {condition_text(findings, divergence)} reach it;"
            " every rank of the job has to make the call, members or not",
            _ADVICE,
        )
    for facts in findings.analysis.functions:
        made = [call for call in facts.calls if (facts.function.path, call.span) not in reported and _is_of_ranks(call)]
        for call in made:
            cause = _rank_in(call.values["ranks"])
            if cause is not None:
                where = Place(cause.path, cause.span, "source", "differs between ranks")
                yield _differing(call, "its `ranks` argument differs between ranks", where)
        for call in facts.calls:
            asked = _asked_of_own(facts, call) if _makes_for_all(call) else None
            if asked is not None and (facts.function.path, call.span) not in reported:
                where = Place(asked.function.path, asked.span, "source", "the ranks of the group that this rank is in")
                yield _differing(call, "each rank passes the ranks of its own group", where, Confidence.MEDIUM)
                # What follows in the same function is the same fault.
                break
        for call, other in _in_turn(made):
            where = Place(other.function.path, other.span, "note", "the other ranks create this one")
            yield _differing(call, "the other branch creates a group of other ranks", where)


def _asked_of_own(facts: FunctionFacts, call: ApiCall) -> ApiCall | None:
    """The question for the ranks of a group that may be a part of the job, of whose answer a list of ranks is made."""
    questions = {
        asked.span: asked
        for asked in facts.calls
        if asked.api.operation == "members"
        and asked.group is not None
        and asked.group.constant is UNKNOWN
        and asked.group.symbol is not WORLD
        and not asked.group.reference.everyone
    }
    pending: list[Expr] = [call.exprs["ranks"]] if questions and "ranks" in call.exprs else []
    followed: set[str] = set()
    while pending:
        for part in walk(pending.pop()):
            if isinstance(part, Call) and part.span in questions:
                return questions[part.span]
            if isinstance(part, Name) and part.id not in followed:
                followed.add(part.id)
                pending += [made.value for made in assignments(call.function.body) if part in made.targets]
    return None


def _differing(call: ApiCall, what: str, where: Place, confidence: Confidence = Confidence.HIGH) -> Report:
    return Report.at(
        call,
        message=f"`{call.api.op}` creates different groups on different ranks: {what}; every rank of the job has to"
        " create every group",
        severity="error",
        trail=(where, Place(call.function.path, call.span, "collective", call.api.op)),
        help=_ADVICE,
        confidence=confidence,
    )


def _is_of_ranks(call: ApiCall) -> bool:
    """Whether a call makes a group of ranks that are listed, together with ranks that are not."""
    # A group of one rank alone has no one to find.
    return _makes_for_all(call) and len(call.values["ranks"].reference.parts) != 1


def _makes_for_all(call: ApiCall) -> bool:
    """Whether a call makes a group of ranks that are given to it, and every rank of the job has to make it."""
    local, ranks = call.values.get("use_local_synchronization"), call.values.get("ranks")
    return (
        call.api.category == "group_constructor"
        and ranks is not None
        and ranks.constant is UNKNOWN
        and (local is None or local.constant is False)
    )


def _rank_in(ranks: Value) -> Cause | None:
    """Where the rank comes from that a list of ranks is made of."""
    found = ranks.uniformity
    if not found.varies or found.maybe or found.absent:
        return None
    return next((cause for cause in found.causes if cause.kind == "rank"), None)


def _in_turn(calls: Sequence[ApiCall]) -> Iterator[tuple[ApiCall, ApiCall]]:
    """The first calls on the two sides of a condition on ranks that do not make the same groups in the same order."""
    sides: dict[Symbol, list[ApiCall]] = {}
    for call in calls:
        if call.guards and call.conditions and any(cause.kind == "rank" for cause in call.guards[-1].causes):
            sides.setdefault(call.conditions[-1], []).append(call)
    for condition, made in sides.items():
        if condition.is_negation:
            pairs = zip(made, sides.get(condition.negate(), ()), strict=False)
            for call, other in pairs:
                if call.values["ranks"].written is not other.values["ranks"].written:
                    yield max(call, other, key=_place), min(call, other, key=_place)
                    break


def _place(call: ApiCall) -> Span:
    return call.span
