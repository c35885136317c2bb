"""Methods that the program defines in subclasses of a framework class, called on an object of that framework class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...program.target import Target

if TYPE_CHECKING:
    from ..transfer.state import Frame


def methods_below(frame: Frame, kind: str, name: str) -> list[Target]:
    """The methods of this name in the program's subclasses of the catalogue class `kind`, under any of its names."""
    catalog, program = frame.context.catalog, frame.context.program
    if catalog.classes.get(kind) != "object" or name.startswith("__"):
        return []
    found: dict[Target, None] = {}
    for alias in catalog.by_name.aliases(kind):
        found.update(dict.fromkeys(program.methods(Target("external", "", alias), name)))
    return list(found)
