"""The tasks sent to a machine of a cluster, as plain data, and their execution there."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ..files import Files, no_progress
from ..formats.unpickle import Memory
from ..model import Values
from ..stores.path import path_of
from .engine import HERE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..model import Piece

#: Methods of Engine.
Kind: TypeAlias = Literal["headers", "entries", "digests"]


@dataclass(frozen=True, slots=True)
class Task:
    """A method of Engine for some chunks: `items` are pieces, or values for digests; `folder` is the address of their files."""

    kind: Kind
    folder: str
    items: Sequence[Piece | Values]
    known: str = ""

    def of(self, places: Sequence[int]) -> Task:
        """The task for some of its items."""
        return replace(self, items=[self.items[n] for n in places])

    def place(self, n: int) -> tuple[str, int, int]:
        """Where item `n` lies: file, offset, length."""
        item = self.items[n]
        piece = item.storage if isinstance(item, Values) else item
        return piece.file, piece.offset, piece.length


def run(task: Task) -> list[Any] | None:
    """The result for each item, in order; None if this machine does not have the folder."""
    Memory.is_limited = True
    folder = path_of(task.folder)
    try:
        if not folder.exists():
            return None
    except OSError:
        return None
    with closing(Files(folder)) as files:
        # The type of the items belongs to the kind.
        items: Any = task.items
        match task.kind:
            case "headers":
                return list(HERE.headers(files, items))
            case "entries":
                return list(HERE.entries(files, items, task.known))
            case "digests":
                return list(HERE.digests(files, items, no_progress))
