"""The files that a program can reach through import statements anywhere in its files."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..program.resolver import Program
    from .texts import Texts


class ImportReach:
    """Follows the imports of each file once."""

    def __init__(self, program: Program, texts: Texts) -> None:
        """Nothing is read before it is asked for."""
        self._program, self._texts = program, texts
        self._direct: dict[str, frozenset[str]] = {}
        self._reached: dict[str, frozenset[str]] = {}

    def files(self, path: str) -> frozenset[str]:
        """A file, and those that are imported from it, directly or not."""
        if path not in self._reached:
            found = {path}
            pending = [path]
            while pending:
                for other in self.direct(pending.pop()):
                    if other not in found:
                        found.add(other)
                        pending.append(other)
            self._reached[path] = frozenset(found)
        return self._reached[path]

    def direct(self, path: str) -> frozenset[str]:
        """The files that the statements of a file import, with the packages they lie in."""
        if path not in self._direct:
            found: set[str] = set()
            for name in dict.fromkeys(item.target for item in self._texts.imports(path)):
                target = self._program.absolute(path, name).path
                if target:
                    found |= {target, *self._packages(target)}
            self._direct[path] = frozenset(found)
        return self._direct[path]

    def is_imported(self, path: str) -> bool:
        """Whether some other file of the program imports one."""
        own = PurePath(path)
        stem = own.parent.name if own.name == "__init__.py" else own.stem
        return any(path in self.direct(other) for other in self._texts.files(stem) if other != path)

    def _packages(self, path: str) -> Iterator[str]:
        folder = os.path.dirname(path)
        while (package := os.path.join(folder, "__init__.py")) in self._program.indexes:
            yield package
            above = os.path.dirname(folder)
            if above == folder:
                break
            folder = above
