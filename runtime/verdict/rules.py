"""The linter's rule for the pattern of a divergence; no rule if the trace does not show a pattern."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from ..quantities import ranks_text
from ..traces.model import FRAME
from . import endings, ways

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..traces.model import Event, Group, Raised, Rank, Trace
    from .model import Divergence, Side

#: The linter's rules: name, and what in the code explains the divergence.
RULES: Final = {
    "CL101": ("missing-group", "the call has no `group` argument, so it waits for every rank in the job"),
    "CL105": ("conditional-new-group", "every rank has to create the same groups in the same order"),
    "CL107": ("outsider-call", "only members may call on a group"),
    "CL108": ("divergent-argument", "the argument differs between ranks"),
    "CL201": ("rank-conditional", "only some ranks reach the call"),
    "CL204": ("exception-divergence", "an exception on one rank skipped the call"),
    "CL205": ("divergent-loop", "ranks make this call a different number of times"),
    "CL206": ("order-mismatch", "ranks use groups in different order"),
    "CL207": ("async-context", "two threads of a rank call on one group, in an order that differs between ranks"),
    "CL303": ("p2p-deadlock", "neighbours wait for each other"),
}
_DEFAULT: Final = "default_pg"
_ARGUMENTS: Final = frozenset({"root rank", "reduce operation"})


def explanation(code: str) -> str:
    """`CL201 rank-conditional explains this: only some ranks reach the call`."""
    name, why = RULES[code]
    return f"{code} {name} explains this: {why}"


def explained(found: Divergence, trace: Trace) -> Divergence:
    """The divergence with its rule, the calls that one side skipped, and notes on the evidence."""
    rule, notes = _rule(found, trace)
    # Where a caught exception or threads explain it, the lines say nothing more.
    first = None if notes or rule == "CL207" else ways.parted(found, trace)
    skipped = ways.skipped(found, trace, first) if first is not None else None
    found = replace(found, rule=rule, notes=(*found.notes, *notes), skipped=skipped)
    return replace(found, notes=(*found.notes, *ways.notes(found, trace, first)))


def _rule(found: Divergence, trace: Trace) -> tuple[str, list[str]]:
    match found.verdict:
        case "mismatch" if found.what == "result":
            # The calls are alike.
            return "", []
        case "timeout":
            return "", []
        case "outsider":
            return "CL107", []
        case "order":
            return "CL105", []
    skipped = list(_skipped(found, trace))
    if skipped:
        return "CL204", skipped
    first = found.sides[0].event
    others = [side for side in found.sides[1:] if not side.is_consequence]
    if first is None:
        return "", []
    if found.verdict == "mismatch":
        return _mismatched(found.what, first, [side.event for side in others if side.event is not None]), []
    if first.kind == "create":
        return "CL105" if not any(endings.is_cause(rank) for rank in _ranks(others, trace)) else "", []
    waits = [side.event for side in others if side.state == "waits in" and side.event is not None]
    if first.kind == "p2p":
        return "CL303" if waits and all(event.kind == "p2p" for event in waits) else "", []
    absent = _ranks([side for side in others if side.state != "waits in"], trace)
    if any(endings.failure(rank) == "own" for rank in absent):
        return "CL204", []
    if any(rank.end != "finished" or (rank.exit is not None and rank.exit.code) for rank in absent):
        # Killed, interrupted or left with a code: nothing in the source explains that.
        return "", []
    # A cycle through further groups is no matter of these two alone.
    direct = all(_waited_for(event, found.sides) <= set(found.sides[0].ranks) for event in waits)
    whole = [
        (one, other)
        for event in waits
        for one, other in ((first, event), (event, first))
        if _is_in_the_default_group(one, other)
    ]
    if direct and whole:
        # A rank that has made the call before is one of those that it is for.
        made = all(_has_made(one, trace.ranks[other.rank]) for one, other in whole)
        return (_absent(first, waits, absent) if made else "CL101"), []
    crossing = [side for side in others if side.event in waits and _crosses(found.sides[0], side)]
    if direct and crossing:
        there = crossing[0].event.group if crossing[0].event is not None else first.group
        return "CL206", [orders_text(found.sides[0].ranks, first.group, crossing[0].ranks, there)]
    return _absent(first, waits, absent), []


def _ranks(sides: list[Side], trace: Trace) -> list[Rank]:
    return [trace.ranks[number] for side in sides for number in side.ranks]


def _mismatched(what: str, first: Event, others: list[Event]) -> str:
    """The rule for calls that meet but do not match; "" for none."""
    if any((first.thread == 0) != (other.thread == 0) for other in others):
        return "CL207"
    if what in _ARGUMENTS:
        return "CL108"
    return "CL201" if what == "operation" and any(_branches(first, other) for other in others) else ""


def _absent(first: Event, waits: list[Event], absent: list[Rank]) -> str:
    """The rule for a call that some ranks did not make because they ended normally or wait in another call."""
    last = [rank.events[-1] for rank in absent if rank.events]
    if last and not waits and all((event.place.path, event.place.line) == _line(first) for event in last):
        return "CL205"
    return "CL201" if any(_branches(first, other) for other in (*waits, *last)) else ""


def _line(event: Event) -> tuple[str, int]:
    return event.place.path, event.place.line


def _branches(one: Event, other: Event) -> bool:
    """Whether two ranks took different branches in one function: both stacks have it, at different lines."""
    here, there = _functions(one), _functions(other)
    return any(there.get(function, line) != line for function, line in here.items())


def _functions(event: Event) -> dict[tuple[str, str], int]:
    frames = (FRAME.match(frame) for frame in event.place.stack)
    found = {(frame["path"], frame["function"]): int(frame["line"]) for frame in frames if frame is not None}
    return {(event.place.path, event.place.function): event.place.line, **found}


def _is_in_the_default_group(one: Event, other: Event) -> bool:
    """Whether `one` is on the default group while `other` is on a group of fewer ranks."""
    return one.group.description == _DEFAULT and set(other.group.ranks) < set(one.group.ranks)


def _has_made(event: Event, rank: Rank) -> bool:
    """Whether a rank has made a call of that group from that place, by the same way."""
    return any(other.group.key == event.group.key and other.place == event.place for other in rank.events)


def _waited_for(event: Event, sides: Iterable[Side]) -> set[int]:
    """The ranks of these sides that are members of the group of a call and have not made it."""
    ranks = {rank: side.event for side in sides for rank in side.ranks}
    call = (event.group.key, event.sequence)
    return {
        rank
        for rank, other in ranks.items()
        if rank in event.group.ranks and (other is None or (other.group.key, other.sequence) != call)
    }


def _crosses(one: Side, other: Side) -> bool:
    """Whether each side waits, on a group of its own, for the other, which is a member of both."""
    assert one.event is not None
    assert other.event is not None
    here, there = one.event.group, other.event.group
    return (
        here.key != there.key and bool(set(one.ranks) & set(there.ranks)) and bool(set(other.ranks) & set(here.ranks))
    )


def orders_text(ranks: Iterable[int], here: Group, others: Iterable[int], there: Group) -> str:
    """`ranks 1,2 use group {0,1,2} before group `a` {0,1,2}, rank 0 uses group `a` {0,1,2} before group {0,1,2}`."""
    one, other = (f"{ranks_text(side)} use{'s' * (len(side) == 1)}" for side in (sorted(ranks), sorted(others)))
    return f"{one} {here} before {there}, {other} {there} before {here}"


# ------------------------------------------------------------------------------------------------------ exceptions


def _skipped(found: Divergence, trace: Trace) -> Iterator[str]:
    """Exceptions that left a rank one call behind: `rank 1 raised TypeError: ... in all_gather_object at a.py:7`."""
    event = found.sides[0].event
    behind = found.sides if found.verdict == "mismatch" else found.sides[1:]
    for number in sorted(rank for side in behind if not side.is_consequence for rank in side.ranks):
        rank = trace.ranks[number]
        for raised in rank.raised:
            if event is not None and _fits(raised, found, event) and not _raised_alike(raised, number, trace):
                caught = "" if rank.ending is not None and rank.ending.error == raised.error else ", which was caught"
                place = f"{raised.place.path}:{raised.place.line}"
                yield f"rank {number} raised {raised.error} in {raised.op} at {place}{caught}"
                break


def _fits(raised: Raised, found: Divergence, event: Event) -> bool:
    """Whether the call that the exception skipped is on the diverging group and comes before the divergence."""
    if raised.group != found.group.key:
        return False
    match event.kind:
        case "p2p":
            return raised.op in ("send", "recv", "send_object_list", "recv_object_list")
        case "create":
            return raised.op in ("new_group", "split_group", "shrink_group")
        case _:
            return raised.calls < found.sequence


def _raised_alike(raised: Raised, number: int, trace: Trace) -> bool:
    """Whether every other member raised an exception at the same call too, so that no rank is behind."""
    members = [trace.ranks[member] for member in raised.group[0] if member != number and member in trace.ranks]
    return bool(members) and all(
        any(
            (other.op, other.calls) == (raised.op, raised.calls) for other in rank.raised if other.group == raised.group
        )
        for rank in members
    )
