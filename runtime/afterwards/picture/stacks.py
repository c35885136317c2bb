"""Merged stacks: where ranks wait or ended, root first, each frame with the ranks that are in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ...traces.model import Rank, Trace


@dataclass(slots=True)
class Frame:
    """A frame such as `a.py:3 f: barrier()`, the ranks that are in it, and the frames that it has called."""

    text: str
    ranks: list[int] = field(default_factory=list)
    inner: dict[str, Frame] = field(default_factory=dict)


def merged(trace: Trace) -> Frame:
    """The stacks of all ranks in one tree. Ranks without a known stack are left out; the root has no text."""
    root = Frame("")
    for rank in trace.ranks.values():
        stack = _stack(rank)
        here = root
        if stack:
            here.ranks.append(rank.rank)
        for text in reversed(stack):
            here = here.inner.setdefault(text, Frame(text))
            here.ranks.append(rank.rank)
    return root


def _stack(rank: Rank) -> tuple[str, ...]:
    """The stack of the exception that ended a rank, of the call it is blocked in, or the last recorded one."""
    if rank.ending is not None and rank.ending.place is not None:
        return rank.ending.place.stack
    if rank.blocked:
        return rank.blocked[0].place.stack
    return rank.stack if rank.end != "finished" else ()
