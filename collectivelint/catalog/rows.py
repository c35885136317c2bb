"""Catalogue rows that do not describe functions: what names usually hold, and what calls do to paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: The value of a condition that any argument fits but None: `when = "group=given"`.
GIVEN: Final = "given"


@dataclass(frozen=True, slots=True)
class Convention:
    """What a parameter or attribute of this name (`*_group`: with this ending) usually holds."""

    name: str
    #: "rank", "size" (the number of ranks), "group", "guard" (true on one rank) or "object" (of class `type`).
    meaning: str
    axis: str | None = None
    #: "optional": only parameters that are None by default.
    when: str | None = None
    one: bool | None = None
    type: str | None = None
    #: The classes, separated by blanks, whose methods have the parameters that it speaks of; None: of all names.
    of: str | None = None

    @property
    def of_classes(self) -> frozenset[str]:
        """The classes of `of`."""
        return frozenset((self.of or "").split())

    def fits(self, name: str) -> bool:
        """Whether the convention applies to `name`."""
        return name.endswith(self.name[1:]) if self.name.startswith("*") else name == self.name


@dataclass(frozen=True, slots=True)
class FileApi:
    """What a call does to a path."""

    #: "look", "list", "make", "open", "read", "fill", "write", "may write", "link", "move", "remove", "save",
    #: "checkpoint" or "restore".
    use: str
    #: Position of the argument that is the path; -1: the object that it is called on.
    at: int = 0
    #: Position of the argument that is written there.
    state: int | None = None
    #: The parameter with which it is no error if the path exists.
    tolerates: str | None = None
    #: Position of another path that is read.
    source: int | None = None
    #: The parameter that is the path, where ranks write or read it together.
    keyword: str | None = None
