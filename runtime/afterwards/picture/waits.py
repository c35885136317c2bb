"""The wait-for graph of a divergence: which ranks sit in which call, and the ranks that it lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ...quantities import ranks_text
from ...verdict.explain import described, headline
from ...verdict.wait_graph import Counts

if TYPE_CHECKING:
    from ...traces.model import Trace
    from ...verdict.model import Divergence, Side

#: The verbs of states, of several ranks.
_PLURAL: Final = {"has": "have", "was": "were", "is": "are"}


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
        """Whether its ranks are (or were) in the call."""
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


def parted(found: Divergence, trace: Trace) -> str:
    """Since which call of their group the first two sides of a mismatch are at different lines; "" where they meet from one line.

    Then it is the way there in which they differ, and not the arguments of a call.
    """
    calls = [_lines(side, found, trace) for side in found.sides[:2]]
    if found.verdict != "mismatch" or len(calls) < 2:
        return ""
    first = None
    for number in sorted(calls[0].keys() & calls[1].keys()):
        if number > found.sequence:
            break
        # `if rank == 0: broadcast(...)`, `else: broadcast(...)` is at two lines as well, and ends where they meet again.
        is_apart = calls[0][number] != calls[1][number]
        first = (number if first is None else first) if is_apart else None
    if first is None:
        return ""
    names = [f"{ranks_text(side.ranks)} at {lines[first]}" for side, lines in zip(found.sides, calls, strict=False)]
    return (
        f"From call #{first} of the group on, these ranks are at different lines: {', '.join(names)}. "
        "What differs between them is the way there: a condition, the length of a loop, an exception."
    )


def _lines(side: Side, found: Divergence, trace: Trace) -> dict[int, str]:
    """Where the first rank of a side made its calls on the group of a divergence, by their numbers."""
    kind = side.event.kind if side.event is not None else ""
    return {
        event.sequence: f"{event.place.path}:{event.place.line}"
        for event in trace.ranks[side.ranks[0]].events
        if event.kind == kind and event.group.key == found.group.key
    }


def sentences(found: Divergence, nodes: list[Node]) -> list[str]:
    """`Ranks 0-2 wait for rank 3.`, `Rank 3 raised ValueError: ...`: one for each side; the headline where no rank waits."""
    sites = {
        (side.event.op, side.event.place.path, side.event.place.line) for side in found.sides if side.event is not None
    }
    if found.verdict == "mismatch" and len(sites) > 1:
        # That the arguments differ is the smaller part of it.
        said = [f"{ranks_text(side.ranks)} {_calls(side)}" for side in found.sides]
        return [f"{_capital(' while '.join(said))}.", f"These meet as call #{found.sequence} on the {found.group}."]
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


def _calls(side: Side) -> str:
    event = side.event
    if event is None:
        return side.state
    place = event.place.path.replace("\\", "/").rpartition("/")[2]
    return f"{'call' if len(side.ranks) > 1 else 'calls'} {event.op} at {place}:{event.place.line}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
