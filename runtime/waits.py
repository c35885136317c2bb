"""Who waits for whom: ranks that wait for a call that will not come."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from .record import State
from .verdict import Divergence, Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .record import Event, Rank, Trace

#: What torch raises when a partner is gone.
_BROKEN: Final = ("RuntimeError", "DistBackendError", "DistNetworkError")


def waiting(trace: Trace) -> list[tuple[Event, tuple[int, ...]]]:
    """Every rank that is stuck in a call, with the ranks it waits for."""
    counts = counts_of(trace)
    found = []
    for rank in trace.ranks.values():
        event = rank.blocked or (rank.events[-1] if rank.events and rank.events[-1].state is State.ISSUED else None)
        if event is not None:
            found.append((event, tuple(missing_from(trace, counts, event))))
    return found


def counts_of(trace: Trace) -> Mapping[tuple[int, object], int]:
    """(rank, stream) -> how many calls the rank has made there."""
    counts: defaultdict[tuple[int, object], int] = defaultdict(int)
    for rank in trace.ranks.values():
        for event in rank.events:
            stream = (event.group.key, event.kind) if event.kind != "p2p" else (event.group.key, event.op, event.peer)
            counts[(rank.rank, stream)] = max(counts[(rank.rank, stream)], event.sequence)
    return counts


def missing_from(trace: Trace, counts: Mapping[tuple[int, object], int], event: Event) -> Iterator[int]:
    """The ranks that have not made the call that `event` needs from them."""
    if event.kind == "p2p":
        if event.peer < 0:
            return
        other = "send" if event.op == "recv" else "recv"
        if counts.get((event.peer, (event.group.key, other, event.rank)), 0) < event.sequence:
            yield event.peer
        return
    for member in event.group.ranks:
        if member in trace.ranks and trace.ranks[member].lost and (member, (event.group.key, event.kind)) not in counts:
            # It may have made the call so long ago that the record has moved past it.
            continue
        if member in trace.ranks and counts.get((member, (event.group.key, event.kind)), 0) < event.sequence:
            yield member


def deadlock(trace: Trace, *, over: bool, now: float | None) -> Divergence | None:
    """Ranks that wait for a call that will not come: whoever should make it has ended, or waits in vain itself."""
    counts = counts_of(trace)
    stuck = {rank.rank: event for rank in trace.ranks.values() if (event := _stuck(rank, over=over)) is not None}
    missing = {rank: tuple(missing_from(trace, counts, event)) for rank, event in stuck.items()}
    free = {rank.rank for rank in trace.ranks.values() if rank.rank not in stuck and not over and _may_come(rank)}
    while True:
        # A rank whose partners all come, or may come, gets on; what is left in the end waits for ever.
        released = {rank for rank in stuck if rank not in free and all(member in free for member in missing[rank])}
        if not released:
            break
        free |= released
    doomed = [event for rank, event in sorted(stuck.items()) if rank not in free and missing[rank]]
    if not doomed:
        return None
    # Those who wait for each other, or for somebody who has ended, are the cause; others only wait for them.
    first = min(doomed, key=lambda event: (not _is_cause(event, missing, stuck), -_shared(event, doomed), event.rank))
    together = [event for event in doomed if _same_call(event, first)]
    absent = [member for member in missing[first.rank] if member not in {event.rank for event in together}]
    sides = [Side(tuple(event.rank for event in together), first, "waits in")]
    sides += [_absence(trace.ranks[member], stuck.get(member), over=over) for member in absent]
    latest = max(event.start for event in together)
    if now is None:
        now = max(event.end or event.start for rank in trace.ranks.values() for event in rank.events)
    return Divergence(
        verdict="deadlock",
        group=first.group,
        sequence=first.sequence,
        what=first.op,
        sides=tuple(_merged(sides)),
        waited=max(0.0, now - latest),
        rule=_explained(first, [trace.ranks[member] for member in absent], stuck),
    )


def _stuck(rank: Rank, *, over: bool) -> Event | None:
    """The call a rank sits in; after the job also the one it was thrown out of when its partner's connection broke."""
    if rank.end == "running" and (event := rank.blocked) is not None and (over or not rank.concurrent):
        return event
    last = rank.events[-1] if rank.events else None
    if not over or last is None:
        return None
    # C++ waits for the handles of DDP's reducer: there the last word is ISSUED. A rank with an exception of its own
    # did not end because of that.
    left_waiting = last.state is State.ISSUED and (rank.end == "running" or rank.error.startswith(_BROKEN))
    return last if last.state is State.FAILED or left_waiting else None


def _is_cause(event: Event, missing: Mapping[int, tuple[int, ...]], stuck: Mapping[int, Event]) -> bool:
    """Does the rank wait for itself in the end, or for somebody who is not waiting at all?"""
    seen: set[int] = set()
    pending = list(missing[event.rank])
    if any(rank not in stuck for rank in pending):
        return True
    while pending:
        rank = pending.pop()
        if rank == event.rank:
            return True
        if rank not in seen:
            seen.add(rank)
            pending += missing.get(rank, ())
    return False


def _may_come(rank: Rank) -> bool:
    return rank.end == "running" and rank.alive


def _shared(event: Event, doomed: list[Event]) -> int:
    return sum(_same_call(event, other) for other in doomed)


def _same_call(one: Event, other: Event) -> bool:
    if one.kind == "p2p" or other.kind == "p2p":
        return one is other
    return (one.group.key, one.kind, one.sequence) == (other.group.key, other.kind, other.sequence)


def _absence(rank: Rank, event: Event | None, *, over: bool) -> Side:
    """Why a rank does not come."""
    if event is not None:
        return Side((rank.rank,), event, "waits in")
    last = rank.events[-1] if rank.events else None
    if rank.end == "raised":
        return Side((rank.rank,), last, f"raised {rank.error}")
    if rank.end == "finished":
        return Side((rank.rank,), last, "has finished")
    return Side((rank.rank,), last, "was ended" if over or not rank.alive else "is elsewhere")


def _merged(sides: list[Side]) -> Iterator[Side]:
    """Ranks that are absent for the same reason at the same place, as one side."""
    found: dict[object, Side] = {}
    for side in sides:
        event = side.event
        peer = event.peer if event is not None and event.kind == "p2p" else -1
        key = (side.state, peer, event and (event.place.path, event.place.line, event.op, event.group.key))
        known = found.get(key)
        found[key] = side if known is None else Side((*known.ranks, *side.ranks), known.event, known.state)
    yield from found.values()


def _explained(event: Event, absent: list[Rank], stuck: Mapping[int, Event]) -> str:
    """The linter's rule for the pattern."""
    if event.kind == "create":
        return "CL105"
    if event.kind == "p2p":
        return "CL303"
    if any(rank.end == "raised" for rank in absent):
        return "CL204"
    if any(rank.end == "running" and rank.rank not in stuck for rank in absent):
        # Killed from outside: nothing in the source explains that.
        return ""
    elsewhere = [stuck[rank.rank] for rank in absent if rank.rank in stuck]
    if event.group.description == "default_pg" and any(other.group.key != event.group.key for other in elsewhere):
        return "CL101"
    if elsewhere and all(other.group.ranks == event.group.ranks for other in elsewhere):
        return "CL206"
    return "CL201"
