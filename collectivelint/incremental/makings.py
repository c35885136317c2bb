"""Where programs make sub-groups, as the cache has it, and what of it findings depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..analysis.summary.making import Making


def summary_of(made: dict[str, list[Making]]) -> tuple[object, ...]:
    """What findings depend on without a look: where groups leave ranks out, whether any are of listed ranks, or all of all.

    A place that moves is read again by what reaches it.
    """
    every = [item for path in sorted(made) for item in made[path]]
    some = [(item.path, item.op) for item in every if item.members == "some"]
    return some, any(item.lists for item in every), all(item.members == "all" for item in every)


def making_of(path: str, item: list[object]) -> Making:
    """One of a file's calls that make groups, from the row of the cache."""
    from ..analysis.summary.making import Making
    from ..ir.nodes import Span

    op, *span, lists, members = item
    return Making(op, path, Span(*span), lists, members)  # type: ignore[arg-type]  # checked as they were read
