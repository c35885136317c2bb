"""What the page shows of one job: plain typed data, computed from its trace and the verdict on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ...beside.closing import looked_at, untraced
from ...quantities import ranks_text
from ...verdict import advice
from ...verdict.endings import NO_RECORD
from . import cards, kinds, packed, stacks, suggested, waits
from .named import without_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...beside.judging import Judged
    from ...traces.model import Trace
    from ...verdict.model import Divergence
    from ..group_usage import Use
    from ..statistics import Numbers, Row
    from .cards import Card


@dataclass(frozen=True, slots=True)
class Picture:
    """A job as the page shows it.

    `title`: the kind of divergence, SLOW RANK, or ""; `rule`: a code, "" for none; `advice`: what to change; `kinds`:
    the kinds of groups by their names; `calls`: see packed.py.
    """

    name: str
    diverged: bool
    title: str
    sentences: tuple[str, ...]
    notes: tuple[str, ...]
    cards: tuple[Card, ...]
    rule: str
    advice: str
    fix: suggested.Suggested | None
    nodes: tuple[waits.Node, ...]
    stacks: stacks.Frame
    rows: tuple[Row, ...]
    late: tuple[tuple[int, str, float, float, int, float], ...]
    uses: tuple[kinds.Used, ...]
    kinds: dict[str, str]
    ranks: tuple[int, ...]
    calls: dict[str, Any]


def picture(judged: Judged, trace: Trace, source: packed.Source, numbers: Numbers, uses: list[Use]) -> Picture:
    """The picture of a job from its trace, the verdict on it, its statistics and the usage of its groups.

    `source`: all of its calls; `trace` may have no more than those that the verdict rests on.
    """
    found = judged.divergence
    slow = numbers.slow[0] if found is None and numbers.slow else None
    nodes = waits.graph(found, trace) if found is not None else []
    looked = f"{looked_at([judged])}{''.join(f', but {problem}' for problem in untraced(judged))}"
    since = min((rank.started for rank in trace.ranks.values()), default=0.0)
    shown: tuple[Card, ...] = ()
    if found is not None:
        said = waits.sentences(found, nodes)
        title, to_do = waits.title(found), advice.advice(found)
        notes = (*map(_sentence, found.notes), *_killed(found), *waits.clock(found), f"Compared {looked}.")
        shown = tuple(cards.of_side(side, since, waits.differing(side, found)) for side in found.sides)
    elif slow is not None:
        # One is the verdict; a slow rank makes others wait and come late, who follow.
        said = [_sentence(without_folders(words)) for words in (slow.in_short, slow.way) if words]
        title, to_do = "SLOW RANK", advice.of_slow(slow)
        notes = (*(_sentence(str(other)) for other in numbers.slow[1:3]), f"No divergence in {looked}.")
        shown = cards.of_slow(slow, since)
    else:
        said, title, to_do, notes = [f"No divergence in {looked}."], "", "", _longest(source)
    kind_of = kinds.kinds_of(use.group for use in uses)
    late = sorted(numbers.ranks.items(), key=lambda item: -item[1].late)
    return Picture(
        name=judged.name,
        diverged=found is not None,
        title=title,
        sentences=tuple(said),
        notes=notes,
        cards=shown,
        rule=found.rule if found is not None else "",
        advice=_sentence(without_folders(to_do)) if to_do else "",
        fix=_fix(found.rule, shown) if found is not None else None,
        nodes=tuple(nodes),
        stacks=stacks.merged(trace),
        rows=tuple(kinds.rows(numbers.sorted(), kind_of)),
        late=tuple(
            (rank, trace.ranks[rank].host, item.seconds, item.waited, item.last, item.late) for rank, item in late
        ),
        uses=tuple(kinds.groups(uses, kind_of)),
        kinds=kind_of,
        ranks=tuple(trace.ranks),
        calls=source.packed(
            found, packed.Marked(nodes[0].lacks if nodes else (), slow.rank if slow is not None else None, kind_of)
        ),
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."


def _killed(found: Divergence) -> list[str]:
    silent = [ranks_text(side.ranks) for side in found.sides if side.state == NO_RECORD]
    return [
        f"No end is recorded of {ranks}: killed by a signal (for lack of memory, say), or left by os._exit."
        for ranks in silent
    ]


def _fix(rule: str, shown: Sequence[Card]) -> suggested.Suggested | None:
    """The linter's fix, if the source lines are unchanged since the run."""
    places = [
        (path, int(line)) for card in shown if card.source.is_current for path, _, line in [card.place.rpartition(":")]
    ]
    return suggested.suggested(rule, places) if rule and places else None


def _longest(source: packed.Source) -> tuple[str, ...]:
    """A sentence on the latest arrival at a collective; () if no collective is recorded on all of its ranks."""
    latest = source.latest()
    if latest is None:
        return ()
    event, late = latest
    place = f"{event.op} at {event.place.path}:{event.place.line}"
    return (f"The latest arrival: rank {event.rank} came to {place} {late:.3f} s behind the rank before it.",)
