"""The subclasses of a program's classes, by the names they give their bases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .dependencies import Memo
from .index import by_base
from .target import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .dependencies import Reader


class Subclasses:
    """Finds subclasses when they are first requested, and caches them."""

    def __init__(
        self,
        classes: Callable[[], Mapping[str, Sequence[tuple[str, str, str]]]],
        resolve: Callable[[str, str], Target | None],
        reader: Reader,
    ) -> None:
        """`classes` gives `class_table` of every file, `resolve` what a name means in a file, as `reader` looks it up."""
        self._classes, self._resolve = classes, resolve
        self.below: Memo[Target, list[Target]] = Memo(reader)
        #: Name of a class -> (file, class, base as written) of those that may have it for a base.
        self._by_base: Mapping[str, list[tuple[str, str, str]]] | None = None

    def of(self, target: Target) -> list[Target]:
        """All direct and indirect subclasses of this class."""
        return self.below.get(target, lambda: self._find(target))

    def _find(self, target: Target) -> list[Target]:
        # A dict keeps the order in which they are met.
        found: dict[Target, None] = {}
        pending = [target]
        while pending:
            for child in self._children(pending.pop()):
                if child not in found and child != target:
                    found[child] = None
                    pending.append(child)
        return list(found)

    def _children(self, target: Target) -> Iterator[Target]:
        """The direct subclasses; only classes with a base of this name are resolved."""
        if self._by_base is None:
            self._by_base = by_base(self._classes())
        for path, qualname, base in self._by_base.get(target.name.rpartition(".")[2], ()):
            if self._resolve(path, base) == target:
                yield Target("class", path, qualname)
