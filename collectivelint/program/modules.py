"""Which files can be imported by a dotted name."""

from __future__ import annotations

import os.path
import sys
from collections import defaultdict
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


#: A folder of this name in a project is not that library.
NEVER_OURS: Final = sys.stdlib_module_names | {"torch", "numpy"}


class Modules:
    """The files of a program by the dotted names they can be imported by; found when first asked for."""

    def __init__(self, paths: Mapping[str, object]) -> None:
        """`paths` are the keys of a mapping: whether a file is there is asked often."""
        self._paths = paths
        self._files: Mapping[str, list[str]] | None = None

    def find(self, name: str, importer: str) -> str | None:
        """The file that `name` means; of several the one that shares most folders with `importer`."""
        files = self._importable().get(name)
        return min(files, key=lambda file: (-_shared(file, importer), len(file), file)) if files else None

    def has(self, parts: list[str]) -> bool:
        """Whether the module or a parent of it is a file of the program, such as a framework's own repository."""
        if parts[0] in NEVER_OURS:
            return False
        files = self._importable()
        return any(".".join(parts[:end]) in files for end in range(len(parts), 0, -1))

    def _importable(self) -> Mapping[str, list[str]]:
        if self._files is None:
            self._files = _importable(self._paths)
        return self._files


def _importable(paths: Mapping[str, object]) -> Mapping[str, list[str]]:
    """Dotted name -> the files that can be imported by it."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    packages: dict[str, list[str]] = {}
    for path in paths:
        folder, _, file = path.rpartition(os.sep)
        stem = file.rpartition(".")[0]
        if folder not in packages:
            packages[folder] = list(_package_names(folder, paths))
        for package in packages[folder]:
            if stem == "__init__" and package:
                found[package].append(path)
            elif stem.isidentifier() and stem != "__init__":
                found[f"{package}.{stem}" if package else stem].append(path)
    return found


def _package_names(folder: str, files: Mapping[str, object]) -> Iterator[str]:
    """The dotted names by which the files of a folder can be imported; "" where the folder itself is on the path.

    We do not know sys.path, so every suffix of the path counts, except that a package (a folder with `__init__.py`)
    is never entered from the middle: `deepspeed/comm/torch.py` is not what `import torch` means.
    """
    folders = list(PurePath(folder).parts)
    first = len(folders)
    while first > 0 and os.path.join(*folders[:first], "__init__.py") in files:
        first -= 1
    for start in range(first, -1, -1):
        if all(name.isidentifier() for name in folders[start:]):
            yield ".".join(folders[start:])


def _shared(one: str, other: str) -> int:
    """Number of leading folders two paths share."""
    count = 0
    for left, right in zip(_folders(one), _folders(other), strict=False):
        if left != right:
            break
        count += 1
    return count


@lru_cache(maxsize=65_536)
def _folders(path: str) -> tuple[str, ...]:
    return PurePath(path).parts[:-1]
