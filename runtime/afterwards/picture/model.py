"""What the page shows of one job: plain typed data, computed from its trace and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...beside.closing import looked_at, untraced
from ...quantities import ranks_text
from ...traces.model import FRAME
from ...verdict.endings import NO_RECORD
from ...verdict.explain import described
from . import kinds, packed, stacks, suggested, waits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...beside.judging import Judged
    from ...traces.model import Event, Trace
    from ...verdict.meetings import Meeting
    from ...verdict.model import Side
    from ...verdict.slow_ranks import SlowRank
    from ..group_usage import Use
    from ..statistics import Numbers, Row

#: Lines of source on each side of the call, and the largest file in bytes that is read for them.
_AROUND: Final = 2
_LARGEST: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame of a stack; `text` alone where it has no place."""

    text: str
    place: str
    function: str
    source: str


@dataclass(frozen=True, slots=True)
class Card:
    """One side of a divergence, or a call of a slow rank (`is_call`). `call`, `group` and `place` are "" where there is none.

    `source`: lines of the file with their numbers, the call's with True; () where the file is not there or has another text.
    """

    ranks: str
    state: str
    call: str
    group: str
    kind: str
    sequence: int
    place: str
    source: tuple[tuple[int, str, bool], ...]
    stack: tuple[Frame, ...]
    members: tuple[int, ...] = ()
    is_call: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A job as the page shows it. `title`: the kind of divergence, or what was looked at; `rule`: a code, "" for none.

    `kinds`: the descriptions of groups by their names; `calls`: see packed.py.
    """

    name: str
    diverged: bool
    title: str
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    cards: tuple[Card, ...]
    rule: str
    fix: suggested.Suggested | None
    nodes: tuple[waits.Node, ...]
    stacks: stacks.Frame
    rows: tuple[Row, ...]
    late: tuple[tuple[int, str, float, float, int, float], ...]
    uses: tuple[kinds.Used, ...]
    kinds: dict[str, str]
    ranks: tuple[int, ...]
    calls: dict[str, Any]


def picture(judged: Judged, trace: Trace, met: Sequence[Meeting], numbers: Numbers, uses: list[Use]) -> Picture:
    """The picture of a job from its trace and the meetings in it, the verdict on it, its statistics and the usage of its groups."""
    found = judged.divergence
    nodes = waits.graph(found, trace) if found is not None else []
    but = "".join(f", but {problem}" for problem in untraced(judged))
    looked = f"no divergence in {looked_at([judged])}{but}"
    if found is not None:
        said = waits.sentences(found, nodes)
        after = f" after {found.waited:.1f} s" if found.waited >= 0.05 else ""
        what = f": {found.what}" if found.verdict == "mismatch" else ""
        title = f"{'GROUP ORDER' if found.verdict == 'order' else found.verdict.upper()}{what}{after}"
        parted = waits.parted(found, trace)
        silent = [ranks_text(side.ranks) for side in found.sides if side.state == NO_RECORD]
        killed = [
            f"No end is recorded of {ranks}: killed by a signal (for lack of memory, say), or left by os._exit."
            for ranks in silent
        ]
        notes = (*found.notes, *[parted] * bool(parted), *killed, f"compared {looked_at([judged])}{but}")
    else:
        slow = [f"{str(slow)[:1].upper()}{str(slow)[1:]}." for slow in numbers.slow]
        # One is the verdict; a slow rank makes others wait and come late, who follow.
        said, title, notes = slow[:1], looked, tuple(slow[1:3])
        if not said:
            said = [f"{looked[:1].upper()}{looked[1:]}."]
            title = ""
            notes = _longest(met)
    described_as = kinds.descriptions(uses)
    cards = tuple(map(_card, found.sides)) if found is not None else _slow(numbers.slow[:1])
    late = sorted(numbers.ranks.items(), key=lambda item: -item[1].late)
    return Picture(
        name=judged.name,
        diverged=found is not None,
        title=title,
        sentences=tuple(said),
        notes=notes,
        cards=cards,
        rule=found.rule if found is not None else "",
        fix=_fix(found.rule, cards) if found is not None else None,
        nodes=tuple(nodes),
        stacks=stacks.merged(trace),
        rows=tuple(kinds.rows(numbers.sorted(), described_as)),
        late=tuple(
            (rank, trace.ranks[rank].host, item.seconds, item.waited, item.last, item.late) for rank, item in late
        ),
        uses=tuple(kinds.groups(uses)),
        kinds=described_as,
        ranks=tuple(trace.ranks),
        calls=packed.packed(
            trace,
            found,
            met,
            packed.Marked(
                nodes[0].lacks if nodes else (),
                numbers.slow[0].rank if found is None and numbers.slow else None,
            ),
        ),
    )


def _fix(rule: str, cards: Sequence[Card]) -> suggested.Suggested | None:
    """Only for lines that are still those of the run."""
    places = [(path, int(line)) for card in cards if card.source for path, _, line in [card.place.rpartition(":")]]
    return suggested.suggested(rule, places) if rule and places else None


def _slow(slow: Sequence[SlowRank]) -> tuple[Card, ...]:
    """The late call of a slow rank, and the call before it: its time goes between the two."""
    if not slow:
        return ()
    (one,) = slow
    since = f" since #{one.event.sequence}" if one.was_on_time else ""
    state = f"came last in {one.last} of {one.calls} calls{since}, {one.late:.2f} s behind the other ranks in all"
    ranks = ranks_text((one.rank,))
    if one.before is None or one.before.place == one.event.place:
        # Of a loop around one call there is nothing more to see.
        between = "; the time goes between one of these calls and the next" * (one.before is not None)
        return (_card_of(one.event, ranks, state + between),)
    return (
        _card_of(one.event, ranks, state),
        _card_of(one.before, ranks, "its call before that: the time goes between the two"),
    )


def _longest(met: Sequence[Meeting]) -> tuple[str, ...]:
    """The collective whose last rank came latest, in a sentence; () where no collective is recorded on all of its ranks."""
    latest = max(met, key=lambda meeting: meeting.late, default=None)
    if latest is None:
        return ()
    event = latest.events[latest.last]
    place = f"{event.op} at {event.place.path}:{event.place.line}"
    return (f"The latest arrival: rank {latest.last} came to {place} {latest.late:.3f} s behind the rank before it.",)


def _card(side: Side) -> Card:
    event = side.event
    stack = tuple(map(frame, side.stack or (event.place.stack if event is not None else ())))
    is_there = event is not None and not side.stack
    place = f"{event.place.path}:{event.place.line}" if event is not None and is_there else ""
    place = place or (stack[0].place if stack else "")
    return Card(
        ranks=ranks_text(side.ranks),
        state=side.state,
        call=described(event) if event is not None else "",
        group=str(event.group) if event is not None else "",
        kind=event.group.description if event is not None else "",
        sequence=event.sequence if event is not None else 0,
        place=place,
        source=_source(stack[0]) if stack else (),
        stack=stack,
        members=side.ranks,
    )


def _card_of(event: Event, ranks: str, state: str) -> Card:
    """A card of a call that a rank made."""
    stack = tuple(map(frame, event.place.stack))
    place = f"{event.place.path}:{event.place.line}"
    return Card(
        ranks=ranks,
        state=state,
        call=described(event),
        group=str(event.group),
        kind=event.group.description,
        sequence=event.sequence,
        place=place,
        source=_source(stack[0]) if stack else (),
        stack=stack,
        members=(event.rank,),
        is_call=True,
    )


def frame(text: str) -> Frame:
    """The parts of `a.py:3 f: barrier()`."""
    match = FRAME.match(text)
    if match is None:
        return Frame(text, "", "", "")
    return Frame(text, f"{match['path']}:{match['line']}", match["function"], match["source"] or "")


def _source(top: Frame) -> tuple[tuple[int, str, bool], ...]:
    """The lines around a frame. The file may have changed since, or be none of the program: its line has to be the recorded one."""
    path, _, number = top.place.rpartition(":")
    file = Path(path)
    try:
        if file.suffix != ".py" or not top.source or not file.is_file() or file.stat().st_size > _LARGEST:
            return ()
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except (OSError, ValueError):
        return ()
    here = int(number)
    if not 0 < here <= len(lines) or lines[here - 1].strip() != top.source.strip():
        return ()
    shown = range(max(1, here - _AROUND), min(len(lines), here + _AROUND) + 1)
    return tuple((line, lines[line - 1], line == here) for line in shown)
