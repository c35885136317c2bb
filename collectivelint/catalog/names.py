"""Lookup of names in the catalogue without scanning all of its rows."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .rows import Convention


class CatalogNames:
    """Looks up the names of a program; nearly all of them have no entry."""

    def __init__(self, conventions: Iterable[Convention], classes: Iterable[str]) -> None:
        """`classes` are the dotted names of classes."""
        self._conventions = tuple(conventions)
        names = {rule.name for rule in self._conventions}
        self._exact = frozenset(names)
        self._ends = tuple(sorted(name[1:] for name in names if name.startswith("*")))
        self._classes: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
        for name in classes:
            self._classes[_own_name(name)].append(name)

    def fitting(self, name: str) -> list[Convention]:
        """The conventions that apply to a name."""
        if name not in self._exact and not name.endswith(self._ends):
            return []
        return [rule for rule in self._conventions if rule.fits(name)]

    def aliases(self, kind: str) -> Sequence[str]:
        """All dotted names of a class in packages that are the same, such as `pytorch_lightning` and `lightning`."""
        return self._classes.get(_own_name(kind), ())


def _own_name(name: str) -> tuple[str, str]:
    return name.partition(".")[0].removeprefix("pytorch_"), name.rpartition(".")[2]
