"""The files that a program can reach, by the import statements of its files wherever they stand in them."""

from __future__ import annotations

import os.path
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..program.resolver import Program

#: An import statement, wherever it stands: (module, names) of `from`, or the modules of `import`.
_IMPORT: Final = re.compile(
    rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]+(\([^)]*\)|[^\n#;]*)|import[ \t]+([^\n#;]*))", re.MULTILINE
)
_NAME: Final = re.compile(rb"([\w.]+|\*)(?:[ \t]+as[ \t]+\w+)?")
#: Ways to reach code that no import statement names.
_DYNAMIC: Final = (b"import_module", b"__import__", b"instantiate(", b"runpy")


class ImportReach:
    """Follows the imports of each file once."""

    def __init__(self, program: Program, text: Callable[[str], bytes]) -> None:
        """`text` gives the content of a file."""
        self._program, self._text = program, text
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
            for name in dict.fromkeys(_imported(self._text(path))):
                target = self._program.absolute(path, name).path
                if target:
                    found |= {target, *self._packages(target)}
            self._direct[path] = frozenset(found)
        return self._direct[path]

    def is_dynamic(self, path: str) -> bool:
        """Whether a file has ways to reach others that its statements do not name."""
        text = self._text(path)
        return any(word in text for word in _DYNAMIC)

    def _packages(self, path: str) -> Iterator[str]:
        folder = os.path.dirname(path)
        while (package := os.path.join(folder, "__init__.py")) in self._program.indexes:
            yield package
            folder = os.path.dirname(folder)


def _imported(text: bytes) -> Iterator[str]:
    for module, names, modules in _IMPORT.findall(text):
        if modules:
            yield from (name.decode(errors="replace") for name in _NAME.findall(modules))
        elif module:
            base = module.decode(errors="replace")
            yield base
            joint = "" if base.endswith(".") else "."
            for name in _NAME.findall(names):
                if name != b"*":
                    yield f"{base}{joint}{name.decode(errors='replace')}"
