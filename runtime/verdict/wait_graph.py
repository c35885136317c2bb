"""The wait-for graph: threads that wait for a call that will never be made.

The nodes are threads, not ranks: a checkpoint may be written in a separate thread, on a separate group, while the main
thread computes, and neither blocks the other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ..traces.model import Numbering, State
from . import endings
from .model import Divergence, Side
from .rules import explained

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..traces.model import Event, GroupKey, Rank, Trace

#: A rank and one of its threads.
Node: TypeAlias = "tuple[int, int]"


class Counts:
    """How many calls each rank has made in each stream.

    Groups are known by numbers, see Numbering. Point-to-point streams, of which there may be thousands, are looked up
    on demand.
    """

    def __init__(self, trace: Trace) -> None:
        """Count the calls in the stream tables, and those that only the events have."""
        self._ranks = trace.ranks
        self._number = Numbering()
        self._counts: dict[tuple[int, object], int] = {}
        self._missing: dict[object, tuple[int, ...]] = {}
        for rank in trace.ranks.values():
            for (group, kind), counted in rank.streams.items():
                self._counts[(rank.rank, (self._number(group), kind))] = counted.calls
            for event in rank.events:
                stream = self._stream(event)
                made = self._calls(rank.rank, stream, event.group.key)
                self._counts[(rank.rank, stream)] = max(made, event.sequence)
            for event in endings.broken_off(rank):
                key = (rank.rank, self._stream(event))
                self._counts[key] = min(self._counts[key], event.sequence - 1)

    def _stream(self, event: Event) -> tuple[object, ...]:
        group, *rest = event.stream
        return (self._number(group), *rest)

    def _calls(self, rank: int, stream: tuple[Any, ...], group: GroupKey) -> int:
        """How many calls a rank has made in a stream of a group; `stream` has the group's number."""
        found = self._counts.get((rank, stream))
        if found is None and len(stream) == 4 and rank in self._ranks:
            _, op, peer, tag = stream
            counted = self._ranks[rank].peers.get((group, op, peer, tag))
            return counted.calls if counted is not None else 0
        return found or 0

    def call(self, event: Event) -> object:
        """A key shared by the events of one collective on all ranks; each point-to-point call has its own."""
        return (event.rank, event.number) if event.kind == "p2p" else (self._stream(event), event.sequence)

    def has(self, rank: int, event: Event) -> bool:
        """Whether a rank has made the call that `event` is one side of."""
        return self._calls(rank, self._stream(event), event.group.key) >= event.sequence

    def missing(self, event: Event) -> tuple[int, ...]:
        """The ranks that have not made the call that `event` needs from them."""
        call = self.call(event)
        found = self._missing.get(call)
        if found is None:
            found = self._missing[call] = tuple(self._absent(event))
        return found

    def _absent(self, event: Event) -> Iterator[int]:
        number, *_ = stream = self._stream(event)
        if event.kind == "p2p":
            other = (number, "send" if event.op == "recv" else "recv", event.rank, event.tag)
            peer = self._ranks.get(event.peer)
            if peer is not None and peer.end == "untraced":
                return
            if event.peer >= 0 and self._calls(event.peer, other, event.group.key) < event.sequence:
                yield event.peer
            return
        for member in event.group.ranks:
            rank = self._ranks.get(member)
            if rank is None or self._counts.get((member, stream), 0) >= event.sequence:
                continue
            if rank.end == "untraced" or (rank.lost and (member, stream) not in self._counts):
                # It may have made the call when nobody recorded it, or so long ago that the record has moved past it.
                continue
            yield member


def waiting(trace: Trace) -> list[tuple[Event, tuple[int, ...]]]:
    """Every call that a thread is blocked in, with the ranks it waits for."""
    counts = Counts(trace)
    found = []
    for rank in trace.ranks.values():
        if rank.has_raised or endings.is_cause(rank):
            continue
        last = rank.events[-1] if rank.events else None
        events = rank.blocked or ((last,) if last is not None and last.state is State.ISSUED else ())
        found += [(event, counts.missing(event)) for event in events]
    return found


class Waits:
    """The wait-for graph of a trace. `doomed`: threads that wait forever, with the call they wait in.

    `over`: the job has ended, so no rank will make another call. Threads that wait in the same call wait for the same
    ranks, so the graph is reduced by calls, of which there are few.
    """

    def __init__(self, trace: Trace, *, over: bool) -> None:
        """Reduce the wait-for graph: repeatedly release threads whose missing partners can still arrive; what remains is deadlocked."""
        self.trace, self._over = trace, over
        self.counts = Counts(trace)
        self.stuck: dict[Node, Event] = {
            (rank.rank, event.thread): event for rank in trace.ranks.values() for event in _stuck(rank, over=over)
        }
        for rank in () if over else trace.ranks.values():
            # C++ waits for the handles of DDP's reducer, and Python cannot tell that from computing. But a handle that
            # only ranks could complete which have ended is as good as waited for.
            last = rank.events[-1] if rank.events and _lives(rank) else None
            is_open = last is not None and last.state is State.ISSUED and last.kind == "collective"
            if last is not None and is_open and (rank.rank, last.thread) not in self.stuck:
                missing = self.counts.missing(last)
                if missing and not any(_lives(trace.ranks[member]) for member in missing):
                    self.stuck[(rank.rank, last.thread)] = last
        self._call = {node: self.counts.call(event) for node, event in self.stuck.items()}
        #: The calls that took too long for some rank, and when they did first.
        self._timeouts: dict[object, float] = {}
        for node, event in self.stuck.items():
            if (when := endings.timeout(trace.ranks[node[0]], event)) is not None:
                call = self._call[node]
                self._timeouts[call] = min(when, self._timeouts.get(call, when))
        calls = {self._call[node]: event for node, event in self.stuck.items()}
        free: set[object] = set()
        while released := {call for call, event in calls.items() if call not in free and self._gets_on(event, free)}:
            free |= released
        self.doomed = {node: event for node, event in sorted(self.stuck.items()) if self._call[node] not in free}

    def missing(self, node: Node) -> tuple[int, ...]:
        """The ranks that a thread waits for."""
        return self.counts.missing(self.stuck[node])

    def together(self, node: Node) -> list[Event]:
        """The events of all threads that wait forever in the same call."""
        return [event for other, event in self.doomed.items() if self._call[other] == self._call[node]]

    def _gets_on(self, event: Event, free: set[object]) -> bool:
        return all(
            any(
                self._call[caller] in free if caller in self.stuck else not self._over or self.might_come(rank, event)
                for caller in self._callers(rank, event)
            )
            for rank in self.counts.missing(event)
        )

    def might_come(self, member: int, event: Event) -> bool:
        """Whether a rank could still have made a call: its launcher ended it, or the waiting ranks timed out first."""
        rank = self.trace.ranks[member]
        when = self._timeouts.get(self.counts.call(event))
        return endings.was_stopped(rank) or (when is not None and endings.was_running(rank, when))

    def _callers(self, member: int, event: Event) -> Iterator[Node]:
        """The threads of a rank that may still make a call on the group of `event`.

        None if the rank has ended, or destroyed the group. Else the main thread, any live thread that has called on the
        group before, and threads that run the project's own code, since they may call for the first time.
        """
        rank = self.trace.ranks[member]
        if event.group.key in rank.destroyed:
            return
        if self._over or _lives(rank):
            yield (member, 0)
            callers = rank.callers.get(event.group.key, frozenset()) if rank.callers else frozenset()
            yield from ((member, thread) for thread in callers | rank.others)

    def is_cause(self, node: Node) -> bool:
        """Whether the call is part of a cycle, or waits for a rank that does not wait at all."""
        events = {self._call[other]: event for other, event in self.doomed.items()}
        first = self._call[node]
        seen: set[object] = set()
        pending = [first]
        while pending:
            here = pending.pop()
            for member in self.counts.missing(events[here]):
                callers = {self._call[other] for other in self._callers(member, events[here]) if other in self.doomed}
                if first in callers or (not callers and here == first):
                    return True
                pending += callers - seen
                seen |= callers
        return False

    def of(self, rank: int) -> Event | None:
        """The call that a rank is blocked in, preferably on its main thread; None if it is not blocked."""
        main = self.stuck.get((rank, 0))
        if main is not None:
            return main
        return next((event for (number, _), event in sorted(self.stuck.items()) if number == rank), None)


def deadlock(trace: Trace, *, over: bool, now: float | None) -> Divergence | None:
    """Ranks that wait for a call that will never be made: the rank to make it has ended, or waits forever too."""
    waits = Waits(trace, over=over)
    # One thread for each call; with point-to-point calls each is its own.
    calls: dict[object, Node] = {}
    sizes: defaultdict[object, int] = defaultdict(int)
    for node, event in waits.doomed.items():
        if waits.missing(node):
            call = waits.counts.call(event)
            calls.setdefault(call, node)
            sizes[call] += 1
    if not calls:
        return None
    # Those who wait for each other, or for somebody who has ended, are the cause; others only wait for them.
    call = min(calls, key=lambda call: (not waits.is_cause(calls[call]), -sizes[call], calls[call]))
    node = calls[call]
    first = waits.doomed[node]
    together = waits.together(node)
    present = {event.rank for event in together}
    absent = [member for member in waits.missing(node) if member not in present]
    sides = [Side(tuple(event.rank for event in together), first, "waits in")]
    found = [_absence(trace.ranks[member], waits, first, over=over) for member in absent]
    # Ranks that have ended are the first cause, those that wait elsewhere come next.
    sides += sorted(found, key=lambda side: (side.is_consequence, side.state == "waits in"))
    latest = max(event.start for event in together)
    if now is None:
        now = max(event.end or event.start for rank in trace.ranks.values() for event in rank.events)
    ended = tuple(merged(sides))
    return explained(
        Divergence("deadlock", first.group, first.sequence, first.op, ended, max(0.0, now - latest)),
        trace,
    )


def _stuck(rank: Rank, *, over: bool) -> Iterator[Event]:
    """The calls that threads are blocked in; after the job also a call that failed as its connection broke."""
    if rank.end == "untraced" or endings.is_cause(rank):
        return
    failure = endings.failure(rank)
    if failure is None and rank.end == "running" and (rank.alive or over) and (blocked := rank.blocked):
        yield from blocked
        return
    last = rank.events[-1] if rank.events else None
    if not over or last is None:
        return
    # C++ waits for the handles of DDP's reducer: there the last word is ISSUED.
    is_open = last.state is State.ISSUED and last.kind == "collective"
    if last.state is State.FAILED or (is_open and rank.end != "finished"):
        yield last


def _lives(rank: Rank) -> bool:
    return rank.end == "running" and rank.ending is None and rank.alive


def _absence(rank: Rank, waits: Waits, first: Event, *, over: bool) -> Side:
    """Why a rank does not make the call."""
    event = waits.of(rank.rank)
    if event is not None:
        return Side((rank.rank,), event, "waits in")
    last = rank.events[-1] if rank.events else None
    where = rank.ending.place if rank.ending is not None else None
    has_destroyed = first.group.key in rank.destroyed
    follows = over and not has_destroyed and waits.might_come(rank.rank, first)
    state = "destroyed the group without this call and " * has_destroyed + endings.state(rank, over=over)
    return Side((rank.rank,), last, state, where.stack if where is not None else (), follows)


def merged(sides: list[Side]) -> Iterator[Side]:
    """The sides with ranks merged that are absent for the same reason at the same place."""
    found: dict[object, Side] = {}
    for side in sides:
        event = side.event
        peer = event.peer if event is not None and event.kind == "p2p" else -1
        call = event and (event.place.path, event.place.line, event.op, event.group.key)
        key = (side.state, side.stack, side.is_consequence, peer, call)
        known = found.get(key)
        found[key] = side if known is None else replace(known, ranks=(*known.ranks, *side.ranks))
    yield from found.values()
