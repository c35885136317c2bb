"""What calls of libraries do to paths."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class FileApi:
    """What a call does to a path."""

    #: "look", "list", "make", "open", "read", "fill", "write", "may write", "link", "move", "remove", "save" or
    #: "checkpoint".
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
