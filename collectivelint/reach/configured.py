"""What the configuration files around a file set."""

from __future__ import annotations

import os.path
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..reading import read_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: So large are settings; more is data.
_MOST_BYTES: Final = 65536
#: So many files are read of a folder and the folders in it.
_MOST_FILES: Final = 200


class Configured:
    """Reads the YAML files in the folders around a file, in those inside its own and in configuration folders, once.

    Files next to another program of the same tree are not considered.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        """`paths` are the files of the program: folders outside of the tree that contains them are not searched."""
        self._paths = paths
        #: Set where it is asked anything.
        self.was_asked = False
        self._top: Path | None = None
        self._entries: dict[tuple[Path, tuple[str, ...]], frozenset[tuple[str, str]]] = {}

    def has(self, path: str, key: str, value: str) -> bool:
        """Whether a configuration around a file sets `key` to `value`."""
        self.was_asked = True
        own = Path(os.path.abspath(path)).parent
        return any((key, value) in self._of(folder, _OWN if folder == own else _ABOVE) for folder in self._around(path))

    def _around(self, path: str) -> Iterator[Path]:
        if self._top is None:
            self._top = Path(os.path.commonpath([os.path.dirname(os.path.abspath(other)) for other in self._paths]))
        folder = Path(os.path.abspath(path)).parent
        while folder.is_relative_to(self._top):
            yield folder
            folder = folder.parent

    def _of(self, folder: Path, patterns: tuple[str, ...]) -> frozenset[tuple[str, str]]:
        known = (folder, patterns)
        if known not in self._entries:
            files = sorted({file for pattern in patterns for file in folder.glob(pattern)})
            self._entries[known] = frozenset(entry for file in files[:_MOST_FILES] for entry in _entries(file))
        return self._entries[known]


_OWN: Final = ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml")
_ABOVE: Final = ("*.yaml", "*.yml", "*conf*/*.yaml", "*conf*/*.yml")


def _entries(file: Path) -> Iterator[tuple[str, str]]:
    """The lines `key: value` of a file."""
    try:
        text = read_text(file, errors="replace") if file.stat().st_size <= _MOST_BYTES else ""
    except OSError:
        return
    for line in text.splitlines():
        key, _, value = line.partition("#")[0].partition(":")
        if value:
            yield key.strip(), value.strip().strip("\"'")
