"""Who waits for whom: threads that wait for a call that will not come.

The unit is a thread of a rank, not a rank: a checkpoint may be written in a thread of its own, on a group of its own,
while the main thread computes, and neither stops the other.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final, TypeAlias

from .record import State
from .verdict import Divergence, Side

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .record import Event, Rank, Trace

#: A rank and one of its threads.
Node: TypeAlias = "tuple[int, int]"
#: What torch raises when a partner is gone.
_BROKEN: Final = ("RuntimeError", "DistBackendError", "DistNetworkError")


def waiting(trace: Trace) -> list[tuple[Event, tuple[int, ...]]]:
    """Every call that a thread is stuck in, with the ranks it waits for."""
    counts = counts_of(trace)
    found = []
    for rank in trace.ranks.values():
        last = rank.events[-1] if rank.events else None
        events = rank.blocked or ((last,) if last is not None and last.state is State.ISSUED else ())
        found += [(event, tuple(missing_from(trace, counts, event))) for event in events]
    return found


def counts_of(trace: Trace) -> Mapping[tuple[int, object], int]:
    """(rank, stream) -> how many calls the rank has made there."""
    counts: defaultdict[tuple[int, object], int] = defaultdict(int)
    for rank in trace.ranks.values():
        for stream, counted in rank.streams.items():
            counts[(rank.rank, stream)] = counted.calls
        for event in rank.events:
            counts[(rank.rank, event.stream)] = max(counts[(rank.rank, event.stream)], event.sequence)
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
        if member in trace.ranks and trace.ranks[member].lost and (member, event.stream) not in counts:
            # It may have made the call so long ago that the record has moved past it.
            continue
        if member in trace.ranks and counts.get((member, event.stream), 0) < event.sequence:
            yield member


class Waits:
    """The wait-for graph of a trace. `doomed`: threads that wait for ever, by the call they wait in.

    `over`: the job has ended, so that nobody will come any more.
    """

    def __init__(self, trace: Trace, *, over: bool) -> None:
        """Find who is stuck, let everybody get on whose partners all come or may come, and see who is left."""
        self.trace, self._over = trace, over
        counts = counts_of(trace)
        self.stuck: dict[Node, Event] = {
            (rank.rank, event.thread): event for rank in trace.ranks.values() for event in _stuck(rank, over=over)
        }
        self.missing = {node: tuple(missing_from(trace, counts, event)) for node, event in self.stuck.items()}
        for rank in () if over else trace.ranks.values():
            # C++ waits for the handles of DDP's reducer, and Python cannot tell that from computing. But a handle that
            # only ranks could complete which have ended is as good as waited for.
            last = rank.events[-1] if rank.events and rank.alive and rank.end == "running" else None
            if last is not None and last.state is State.ISSUED and (rank.rank, last.thread) not in self.stuck:
                missing = tuple(missing_from(trace, counts, last))
                if missing and not any(_lives(trace.ranks[member]) for member in missing):
                    self.stuck[(rank.rank, last.thread)] = last
                    self.missing[(rank.rank, last.thread)] = missing
        free: set[Node] = set()
        while released := {node for node in self.stuck if node not in free and self._gets_on(node, free)}:
            free |= released
        self.doomed = {node: event for node, event in sorted(self.stuck.items()) if node not in free}

    def _gets_on(self, node: Node, free: set[Node]) -> bool:
        event = self.stuck[node]
        return all(
            any(
                caller in free or (caller not in self.stuck and not self._over) for caller in self._callers(rank, event)
            )
            for rank in self.missing[node]
        )

    def _callers(self, member: int, event: Event) -> Iterator[Node]:
        """The threads of a rank that may still make a call on the group of `event`: none if the rank has ended.

        That is the main thread, and any other that is there and has called on the group before.
        """
        rank = self.trace.ranks[member]
        if self._over or _lives(rank):
            yield (member, 0)
            yield from ((member, thread) for thread in rank.callers.get(event.group.key, ()))

    def is_cause(self, node: Node) -> bool:
        """Does it wait for itself in the end, or for somebody who does not wait at all?"""
        seen: set[Node] = set()
        pending = [node]
        while pending:
            here = pending.pop()
            for member in self.missing[here]:
                callers = {caller for caller in self._callers(member, self.stuck[here]) if caller in self.doomed}
                if node in callers or (not callers and here == node):
                    return True
                pending += callers - seen
                seen |= callers
        return False

    def of(self, rank: int) -> Event | None:
        """What a rank sits in: its main thread, or another one."""
        return next((event for (number, _), event in sorted(self.stuck.items()) if number == rank), None)


def deadlock(trace: Trace, *, over: bool, now: float | None) -> Divergence | None:
    """Ranks that wait for a call that will not come: whoever should make it has ended, or waits in vain itself."""
    waits = Waits(trace, over=over)
    doomed = {node: event for node, event in waits.doomed.items() if waits.missing[node]}
    if not doomed:
        return None
    # Those who wait for each other, or for somebody who has ended, are the cause; others only wait for them.
    node = min(doomed, key=lambda node: (not waits.is_cause(node), -_shared(doomed[node], doomed), node))
    first = doomed[node]
    together = [event for event in doomed.values() if _same_call(event, first)]
    absent = [member for member in waits.missing[node] if member not in {event.rank for event in together}]
    sides = [Side(tuple(event.rank for event in together), first, "waits in")]
    sides += [_absence(trace.ranks[member], waits.of(member), over=over) for member in absent]
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
        rule=_explained(first, [trace.ranks[member] for member in absent], waits),
    )


def _stuck(rank: Rank, *, over: bool) -> Iterator[Event]:
    """The calls that threads sit in; after the job also the one a rank was thrown out of when a connection broke."""
    if rank.end == "running" and (rank.alive or over) and (blocked := rank.blocked):
        yield from blocked
        return
    last = rank.events[-1] if rank.events else None
    if not over or last is None:
        return
    # C++ waits for the handles of DDP's reducer: there the last word is ISSUED. A rank with an exception of its own
    # did not end because of that.
    left_waiting = last.state is State.ISSUED and (rank.end == "running" or rank.error.startswith(_BROKEN))
    if last.state is State.FAILED or left_waiting:
        yield last


def _lives(rank: Rank) -> bool:
    return rank.end == "running" and rank.alive


def _shared(event: Event, doomed: Mapping[Node, Event]) -> int:
    return sum(_same_call(event, other) for other in doomed.values())


def _same_call(one: Event, other: Event) -> bool:
    if one.kind == "p2p" or other.kind == "p2p":
        return one is other
    return one.stream == other.stream and one.sequence == other.sequence


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


def _explained(event: Event, absent: list[Rank], waits: Waits) -> str:
    """The linter's rule for the pattern."""
    if event.kind == "create":
        return "CL105"
    if event.kind == "p2p":
        return "CL303"
    if any(rank.end == "raised" for rank in absent):
        return "CL204"
    elsewhere = [other for rank in absent if (other := waits.of(rank.rank)) is not None]
    if any(rank.end == "running" and waits.of(rank.rank) is None for rank in absent):
        # Killed from outside: nothing in the source explains that.
        return ""
    if event.group.description == "default_pg" and any(other.group.key != event.group.key for other in elsewhere):
        return "CL101"
    if elsewhere and all(other.group.ranks == event.group.ranks for other in elsewhere):
        return "CL206"
    return "CL201"
