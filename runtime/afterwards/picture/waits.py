"""The wait-for graph of a divergence: which ranks wait in which call, and the ranks that they wait for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...quantities import ranks_text
from ...verdict.explain import arguments, described, headline
from ...verdict.wait_graph import Counts
from .named import without_folders

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...traces.model import Event, Trace
    from ...verdict.model import Divergence, Side

#: The verbs of states, of several ranks.
_PLURAL: Final = {"has": "have", "was": "were", "is": "are"}
#: So many sides of a mismatch are said in a sentence.
_SAID: Final = 3


@dataclass(frozen=True, slots=True)
class Node:
    """A side of a divergence in the graph: its ranks, and the ranks that it waits for, () where it does not wait.

    `members`: how many ranks the group of the call has.
    """

    side: Side
    lacks: tuple[int, ...]
    members: int

    @property
    def ranks(self) -> str:
        """`ranks 0-2`."""
        return ranks_text(self.side.ranks)

    @property
    def call(self) -> str:
        """`barrier()`, or how its ranks ended."""
        event = self.side.event
        return described(event) if event is not None and self.waits else self.side.state

    @property
    def waits(self) -> bool:
        """Whether its ranks wait or waited in the call."""
        return self.side.state in ("waits in", "waited in")


def graph(found: Divergence, trace: Trace) -> list[Node]:
    """A node for each side, the ranks that wait first; [] where the ranks do not wait for a call."""
    if found.verdict not in ("deadlock", "timeout"):
        return []
    counts = Counts(trace)
    nodes = []
    for position, side in enumerate(found.sides):
        event = side.event
        lacks: tuple[int, ...] = ()
        if event is not None and side.state in ("waits in", "waited in"):
            lacks = counts.missing(event)
            if position == 0 and not lacks:
                lacks = tuple(rank for other in found.sides[1:] if not other.is_consequence for rank in other.ranks)
        nodes.append(Node(side, lacks, len(event.group.ranks) if event is not None else 0))
    return nodes


def title(found: Divergence) -> str:
    """The kind of a divergence: `DEADLOCK after 3.2 s`, `MISMATCH: shape`."""
    kind = "GROUP ORDER" if found.verdict == "order" else found.verdict.upper()
    what = f": {found.what}" if found.verdict == "mismatch" else ""
    if found.skipped is not None:
        what = f": a skipped call shows as another {found.what}"
    after = f" after {found.waited:.1f} s" if found.waited >= 0.05 else ""
    return f"{kind}{what}{after}"


def clock(found: Divergence) -> tuple[str, ...]:
    """A sentence on when the waiting time in the title begins; () if there is none."""
    event = found.sides[0].event
    if found.waited < 0.05 or event is None:
        return ()
    since = (
        f"rank {event.rank} made the call"
        if found.verdict == "timeout"
        else "the last of the ranks that wait made the call"
    )
    return (f"The {found.waited:.1f} s count from when {since}.",)


def sentences(found: Divergence, nodes: list[Node]) -> list[str]:
    """`Ranks 0-2 wait for rank 3.`, `Rank 3 raised ValueError: ...`: one for each side; the headline where no rank waits."""
    sites = {
        (side.event.op, side.event.place.path, side.event.place.line) for side in found.sides if side.event is not None
    }
    if found.verdict == "mismatch" and len(sites) > 1:
        # That the arguments differ is the smaller part of it.
        meets = f"call #{found.sequence} on the {found.group}"
        if (skipped := found.skipped) is not None:
            others = next(side for side in found.sides if side.ranks != skipped.ranks)
            theirs = "theirs" if len(others.ranks) > 1 else f"that of {ranks_text(others.ranks)}"
            whose = "Their" if len(skipped.ranks) > 1 else "Its"
            here = f"{skipped.instead.op} at {_site(skipped.instead)}"
            return [
                f"{_capital(without_folders(str(skipped)))}.",
                f"{whose} next call, {here}, meets {theirs} at {_site(others.event)} as {meets}.",
            ]
        said = [f"{ranks_text(side.ranks)} {_calls(side)}" for side in found.sides]
        return [f"{_capital(' while '.join(said))}.", f"These meet as {meets}."]
    if found.verdict == "mismatch" and all(passed := [differing(side, found) for side in found.sides]):
        return _disagree(found, passed)
    if not any(node.lacks for node in nodes):
        return [_capital(headline(found).partition(": ")[2]) + "."]
    said = []
    for node in nodes:
        if node.side.is_consequence:
            continue
        several = len(node.side.ranks) > 1
        past = node.side.state == "waited in"
        verb = "waited" if past else "wait" if several else "waits"
        if node.lacks:
            said.append(_capital(f"{node.ranks} {verb} for {ranks_text(node.lacks)}."))
        elif node.waits and node.side.event is not None:
            said.append(_capital(f"{node.ranks} {verb} in {node.side.event.op}."))
        else:
            state = node.side.state.rstrip(":")
            verb, _, rest = state.partition(" ")
            words = f"{_PLURAL[verb]} {rest}" if several and verb in _PLURAL else state
            said.append(_capital(f"{node.ranks} {words}."))
    return said


def differing(side: Side, found: Divergence) -> tuple[str, ...]:
    """The arguments on one side of a mismatch that other sides do not have: `float32[8]`; () if all are equal."""
    if found.verdict != "mismatch" or side.event is None:
        return ()
    all_ = [arguments(other.event) for other in found.sides if other.event is not None]
    return tuple(some for some in arguments(side.event) if not all(some in others for others in all_))


def _disagree(found: Divergence, passed: Sequence[Sequence[str]]) -> list[str]:
    """Sentences on one operation called with different arguments, `passed` by each side."""
    event = found.sides[0].event
    assert event is not None
    several = len(found.sides[0].ranks) > 1
    said = [
        f"{ranks_text(side.ranks)} with {' and '.join(some)}" for side, some in zip(found.sides, passed, strict=True)
    ]
    more = sum(len(side.ranks) for side in found.sides[_SAID:])
    first = f"{ranks_text(found.sides[0].ranks)} call{'s' * (not several)} {event.op} with {' and '.join(passed[0])}"
    others = [*said[1:_SAID], *([f"{more} other rank{'s' * (more > 1)} with yet others"] if more else [])]
    return [
        f"{_capital(', '.join([first, *others]))}, at {_site(event)}.",
        f"These meet as call #{found.sequence} on the {found.group}.",
    ]


def _calls(side: Side) -> str:
    event = side.event
    if event is None:
        return side.state
    return f"{'call' if len(side.ranks) > 1 else 'calls'} {event.op} at {_site(event)}"


def _site(event: Event | None) -> str:
    """`train.py:3`, without its folders."""
    return (
        f"{event.place.path.replace(chr(92), '/').rpartition('/')[2]}:{event.place.line}" if event is not None else ""
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
