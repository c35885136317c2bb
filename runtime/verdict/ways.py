"""How a mismatch came about: from which call on two sides are at different lines, and which calls one of them skipped.

A skipped call shows up as a different operation or shape of the next one; the order of call sites reveals it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..quantities import ranks_text
from .model import Skipped, at

if TYPE_CHECKING:
    from ..traces.model import Event, Trace
    from .model import Divergence, Side

#: How many calls back a time is looked for in which the ranks were at the same point.
_MOST: Final = 2000


def parted(found: Divergence, trace: Trace) -> int | None:
    """The call number from which on two sides of a mismatch are at different lines; None if they meet at one line.

    Such sides differ in their control flow, not in the arguments of a call.
    """
    if found.verdict != "mismatch" or len(found.sides) < 2:
        return None
    one, other = (_calls(side, found, trace) for side in found.sides[:2])
    first = None
    for number in sorted(one.keys() & other.keys()):
        if number > found.sequence:
            break
        # `if rank == 0: broadcast(...)`, `else: broadcast(...)` is at two lines as well, and ends where they meet again.
        is_apart = _line(one[number]) != _line(other[number])
        first = (number if first is None else first) if is_apart else None
    return first


def skipped(found: Divergence, trace: Trace, first: int) -> Skipped | None:
    """The calls that one of the first two sides left out at call `first` of the group, where they part.

    The evidence: all ranks made these calls the last time they were at this point, or the other side made them now
    before it came to the diverging call. None if neither is the case.
    """
    sides = found.sides[:2]
    ways = [
        [event for number, event in sorted(calls.items()) if first <= number <= found.sequence]
        for calls in (_calls(side, found, trace) for side in sides)
    ]
    usual = _next(_up_to(_calls(sides[0], found, trace), first))
    for way, side in zip(ways, sides, strict=True):
        if events := _left_out(usual, way):
            return Skipped(side.ranks, events, way[0], "in the calls before")
    by_others = [_left_out(ways[1 - here], ways[here]) for here in (0, 1)]
    if all(by_others) or not any(by_others):
        return None
    here = 0 if by_others[0] else 1
    return Skipped(sides[here].ranks, by_others[here], ways[here][0], f"on {ranks_text(sides[1 - here].ranks)}")


def _left_out(expected: list[Event], made: list[Event]) -> tuple[Event, ...]:
    """The shortest prefix of `expected` after which it continues like `made`; () if there is none."""
    sites, there = [*map(_site, expected)], [*map(_site, made)]
    for count in range(1, len(sites)):
        meets = min(len(sites) - count, len(there))
        if sites[0] != there[0] and sites[count : count + meets] == there[:meets]:
            return tuple(expected[:count])
    return ()


def notes(found: Divergence, trace: Trace, first: int | None) -> tuple[str, ...]:
    """Notes on the skipped calls, or on parting at call `first` of the group."""
    if found.skipped is not None:
        skipped = found.skipped
        return (f"{skipped.shown}, {at(skipped.instead)} came after the skipped call{'s' * (len(skipped.events) > 1)}",)
    if first is None:
        return ()
    sides = [(side, _calls(side, found, trace)[first].place) for side in found.sides[:2]]
    where = ", ".join(f"{ranks_text(side.ranks)} at {place.path}:{place.line}" for side, place in sides)
    way = "what differs is the way there: a condition, the length of a loop, an exception"
    return (f"from call #{first} of the group on, these ranks are at different lines: {where}; {way}",)


def _calls(side: Side, found: Divergence, trace: Trace) -> dict[int, Event]:
    """The calls of a side's first rank on the group of a divergence, by sequence number."""
    kind = side.event.kind if side.event is not None else ""
    return {
        event.sequence: event
        for event in trace.ranks[side.ranks[0]].events
        if event.kind == kind and event.group.key == found.group.key
    }


def _up_to(calls: dict[int, Event], first: int) -> list[Event]:
    """The longest gapless run of calls just before number `first`."""
    found: list[Event] = []
    while len(found) < _MOST and (event := calls.get(first - 1 - len(found))) is not None:
        found.append(event)
    return found[::-1]


def _next(before: list[Event]) -> list[Event]:
    """The calls that followed the longest repetition of the last sites, the newest of equals; [] if none repeats."""
    sites = [*map(_site, before)]
    best, longest = len(sites), 0
    for end in range(len(sites) - 1, 0, -1):
        length = 0
        while length < end and sites[end - 1 - length] == sites[-1 - length]:
            length += 1
        if length > longest:
            best, longest = end, length
    return before[best:]


def _line(event: Event) -> tuple[str, int]:
    return event.place.path, event.place.line


def _site(event: Event) -> tuple[str, str, int]:
    return (event.op, *_line(event))
