"""Collectives of several groups that ranks on the two sides of a condition issue in another order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..domain.symbol import WORLD
from ..effects import Event
from .alignment import merged, plain, same, tokens, without_leaves
from .divergence import Divergence
from .sides import Restricted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ..domain.symbol import Symbol
    from ..effects import Guard, Term


def crossed(term: Term, guard: Guard, by_group: Mapping[Symbol, Restricted]) -> Iterator[Divergence]:
    """The first collective that is matched by one of another group, where the order within each group agrees.

    Two ranks on opposite sides belong to both groups: each waits in one group for the other rank, which waits in the
    other group. For the default group and a sub-group that is certain; two dimensions of a mesh share one rank each.
    """
    if not any(cause.kind == "rank" for cause in guard.causes):
        return
    split = [group for group in by_group if _is_split(group, guard)]
    if len(split) < 2 or not any(guard.symbol in by_group[group].judged for group in split):
        return
    ordered = [group for group in split if same(*by_group[group].sides(guard.symbol).values())]
    if len(ordered) < 2 or not any(guard.symbol in by_group[group].judged for group in ordered):
        return
    sides = Restricted.to(term, *ordered).sides(guard.symbol)
    mine, theirs = (without_leaves(merged(side, set())) for side in sides.values())
    if len(mine) != len(theirs) or sorted(map(repr, tokens(mine, plain))) != sorted(map(repr, tokens(theirs, plain))):
        return
    for item, other in zip(mine, theirs, strict=True):
        if not isinstance(item, Event) or not isinstance(other, Event):
            if not same((item,), (other,)):
                return
        elif item.token != other.token:
            is_shared = item.group is not other.group and WORLD in (item.group, other.group)
            if is_shared and not item.partial and not other.partial:
                yield Divergence(guard, item, "order", True, other=other)
            return


def _is_split(group: Symbol, guard: Guard) -> bool:
    """Whether ranks of one group stand on both sides of a condition."""
    return group is WORLD or group in guard.varies or (WORLD in guard.varies and guard.one is not None)
