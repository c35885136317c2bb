"""The cards of a verdict: each side of a divergence, or the two calls between which a slow rank loses time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ...quantities import ranks_text
from ...traces.model import FRAME
from ...verdict.explain import described
from .source import Source, around, on_the_way

if TYPE_CHECKING:
    from ...traces.model import Event
    from ...verdict.model import Side
    from ...verdict.slow_ranks import SlowRank


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a stack; only `text` is set if its location is unknown."""

    text: str
    place: str
    function: str
    source: str


@dataclass(frozen=True, slots=True)
class Card:
    """One side of a divergence, or a call of a slow rank (`is_call`). `call`, `group` and `place` are "" if unknown.

    `differs`: the parts of `call` that the other sides do not have.
    """

    ranks: str
    state: str
    call: str
    group: str
    sequence: int
    place: str
    source: Source
    stack: tuple[Frame, ...]
    members: tuple[int, ...] = ()
    is_call: bool = False
    differs: tuple[str, ...] = ()


def of_side(side: Side, since: float, differs: tuple[str, ...] = ()) -> Card:
    """The card of a side of a divergence. `since`: when the run began, in seconds since the epoch; `differs`: see Card."""
    event = side.event
    stack = tuple(map(frame, side.stack or (event.place.stack if event is not None else ())))
    is_there = event is not None and not side.stack
    place = f"{event.place.path}:{event.place.line}" if event is not None and is_there else ""
    return Card(
        ranks=ranks_text(side.ranks),
        state=side.state,
        call=described(event) if event is not None else "",
        group=str(event.group) if event is not None else "",
        sequence=event.sequence if event is not None else 0,
        place=place or (stack[0].place if stack else ""),
        source=_source(stack, since),
        stack=stack,
        members=side.ranks,
        differs=differs,
    )


def of_slow(slow: SlowRank, since: float) -> tuple[Card, ...]:
    """Two cards: the call before a slow rank's latest one, and the late call. The time is lost between them."""
    from_on = f" since #{slow.event.sequence}" if slow.was_on_time else ""
    state = f"comes last here: in {slow.last} of {slow.calls} calls{from_on}, {slow.late:.2f} s behind the other ranks in all of these"
    if slow.before is None:
        return (_of_call(slow.event, state, since),)
    late = _of_call(slow.event, state, since)
    marked = on_the_way(late.source, _place(slow.before), late.place)
    way = "; the marked lines are on its way here" * (marked is not late.source)
    if slow.before.place == slow.event.place:
        # Of a loop around one call there is nothing more to see.
        state += f"; its time goes between one of these calls and the next{way}"
        return (replace(late, state=state, source=marked),)
    return (
        replace(late, state=state + way, source=marked),
        _of_call(slow.before, "its call before that: its time goes between the two", since),
    )


def _of_call(event: Event, state: str, since: float) -> Card:
    """A card of a call that a rank made."""
    stack = tuple(map(frame, event.place.stack))
    return Card(
        ranks=ranks_text((event.rank,)),
        state=state,
        call=described(event),
        group=str(event.group),
        sequence=event.sequence,
        place=_place(event),
        source=_source(stack, since),
        stack=stack,
        members=(event.rank,),
        is_call=True,
    )


def frame(text: str) -> Frame:
    """The `Frame` of a text such as `a.py:3 f: barrier()`."""
    match = FRAME.match(text)
    if match is None:
        return Frame(text, "", "", "")
    return Frame(text, f"{match['path']}:{match['line']}", match["function"], match["source"] or "")


def _source(stack: tuple[Frame, ...], since: float) -> Source:
    return around(stack[0].place, stack[0].source, since) if stack else Source()


def _place(event: Event) -> str:
    return f"{event.place.path}:{event.place.line}"
