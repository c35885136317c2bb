"""What a name of the program refers to."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

Kind: TypeAlias = Literal["function", "class", "module", "variable", "external"]


class Target:
    """What a name means: a function, class, module or global variable of the program, or something outside it.

    For "external" `name` is the full dotted name and `path` is empty; for a module `name` is empty.
    """

    __slots__ = ("kind", "name", "path")

    def __init__(self, kind: Kind, path: str, name: str) -> None:
        """What is called `name` in the file `path`."""
        self.kind: Final = kind
        self.path: Final = path
        self.name: Final = name

    def __eq__(self, other: object) -> bool:
        """The same definition."""
        if not isinstance(other, Target):
            return NotImplemented
        return self.name == other.name and self.path == other.path and self.kind == other.kind

    def __hash__(self) -> int:
        """Of all three."""
        return hash((self.kind, self.path, self.name))

    def __reduce__(self) -> tuple[type[Target], tuple[Kind, str, str]]:
        """Through the constructor: compiled, there is no state that `pickle` can read."""
        return Target, (self.kind, self.path, self.name)

    def __repr__(self) -> str:
        """As it is constructed."""
        return f"Target({self.kind!r}, {self.path!r}, {self.name!r})"
