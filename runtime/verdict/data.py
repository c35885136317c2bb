"""Comparing the data of calls (`--check-data`): which parameter each rank passed, and whether results are equal.

Different parameter names in one call prove nothing by themselves, since correct programs have them: a pipeline reduces
the embedding of its first stage with the output layer of the last, and one rank may have wrapped its model. They prove
a mismatch in these cases:

- Gradients: both ranks passed a gradient of the same name on that group in another call, so a name means the same on
  both.
- Averaged parameters and buffers, of which each rank may have its own (`members[rank]`): both ranks passed one of the
  names.
- Broadcasts, which may copy one model into another: one of the names is exchanged in both directions, with one root.
- Lists broadcast from C++, as in the constructor of DDP: the same name is at another index of the list on another rank.
"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from ..operations import SAME_RESULT
from ..quantities import ranks_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..traces.model import Argument, Event


def conflicting_arguments(calls: Mapping[int, list[Event]]) -> frozenset[int]:
    """The numbers of the calls of one group in which two ranks passed different parameters of the same model."""
    differing: list[tuple[int, Event, Event]] = []
    for sequence, events in calls.items():
        known = [event for event in events if event.argument is not None]
        differing += [(sequence, known[0], event) for event in known[1:] if not _agree(known[0], event)]
    if not differing:
        return frozenset()
    passed: defaultdict[int, set[tuple[str, str]]] = defaultdict(set)
    for events in calls.values():
        for event in events:
            passed[event.rank] |= _names(event.argument)
    swapped: defaultdict[tuple[int, int, int], set[tuple[str, str]]] = defaultdict(set)
    for _, one, other in differing:
        swapped[one.rank, other.rank, one.peer] |= _names(one.argument)
        swapped[other.rank, one.rank, one.peer] |= _names(other.argument)
    found = set()
    for sequence, one, other in differing:
        if one.argument is not None and one.argument.part == "tensors":
            is_proved = True
        elif one.op == "broadcast":
            here, there = swapped[one.rank, other.rank, one.peer], swapped[other.rank, one.rank, one.peer]
            is_proved = bool(_names(one.argument) & there or _names(other.argument) & here)
        elif all(event.argument is not None and event.argument.part == "gradient" for event in (one, other)):
            both = passed[one.rank] & passed[other.rank]
            is_proved = any(part == "gradient" for part, _ in both)
        else:
            here, there = passed[one.rank], passed[other.rank]
            is_proved = bool(_names(one.argument) & there or _names(other.argument) & here)
        if is_proved:
            found.add(sequence)
    return frozenset(found)


def _names(argument: Argument | None) -> set[tuple[str, str]]:
    return {(argument.part, name) for name in argument.names} if argument is not None else set()


def _agree(one: Event, other: Event) -> bool:
    """Whether two ranks may have passed the same parameter; a wrapper on one of them adds a prefix to the name."""
    here, there = one.argument, other.argument
    if one.op != other.op or here is None or there is None or here == there:
        return True
    if here.part == there.part == "tensors":
        return _moved(here, there) is None
    if "tensors" in (here.part, there.part):
        return True
    return here.part == there.part and any(
        f".{name}".endswith(f".{another}") or f".{another}".endswith(f".{name}")
        for name in here.names
        for another in there.names
    )


def _moved(here: Argument, there: Argument) -> int | None:
    """The first index where two lists have different names, one of which is elsewhere in the other list; or None."""
    if len(here.names) == len(there.names):
        for place, (one, other) in enumerate(zip(here.names, there.names, strict=True)):
            if one and other and one != other and (one in there.names or other in here.names):
                return place
    return None


def passed(arguments: Sequence[Argument]) -> list[str]:
    """What each side of a mismatch passed, in words; for lists, the first tensor that differs."""
    first = arguments[0]
    places = [_moved(first, other) for other in arguments[1:] if other.part == first.part == "tensors"]
    place = next((place for place in places if place is not None), None)
    if place is None:
        return [f"the {argument}" for argument in arguments]
    return [f"`{argument.names[place]}` as tensor {place + 1} of {len(argument.names)}" for argument in arguments]


def results_differ(events: Sequence[Event]) -> bool:
    """Whether ranks got different bytes from a call whose result must be the same on all of them."""
    if events[0].op not in SAME_RESULT or len({event.checksum for event in events} - {0}) < 2:
        return False
    # Where ranks may pass more or less to a gather, they may also have more or less room for it.
    given = [event.signature.get("tensors") for event in events]
    sizes = {str([math.prod(shape) for shape, _ in tensors]) for tensors in given if tensors}
    return len(sizes) == 1 and all(given)


def describe_checksums(sides: Sequence[Sequence[Event]]) -> tuple[str, ...]:
    """Which results were compared, as text."""
    found = [f"{side[0].checksum:08x} on {ranks_text(event.rank for event in side)}" for side in sides]
    when = "its wait returned" if sides[0][0].is_async else "the call returned"
    return (f"checksum of the result when {when}: {', '.join(found)}",)
