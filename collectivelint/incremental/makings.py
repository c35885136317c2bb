"""Where programs create sub-groups, as the cache stores it, and which part of it findings depend on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..analysis.summary.making import Making


def summary_of(made: dict[str, list[Making]]) -> tuple[object, ...]:
    """What findings depend on without recording it: partial groups, whether rank lists occur, whether all are full.

    Lines are left out: a finding that refers to the place of a call records that it read it.
    """
    every = [item for path in sorted(made) for item in made[path]]
    some = [(item.path, item.op) for item in every if item.members == "some"]
    return some, any(item.lists for item in every), all(item.members == "all" for item in every)


def making_of(path: str, item: list[object]) -> Making:
    """One call of a file that creates a group, from the row of the cache."""
    from ..analysis.summary.making import Making
    from ..ir.nodes import Span

    op, *span, lists, members = item
    return Making(op, path, Span(*span), lists, members)  # type: ignore[arg-type]  # checked as they were read
