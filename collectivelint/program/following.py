"""The files of installed packages that a program leads to: a framework's own source, where a run is told to follow it.

Only packages are followed that the program imports itself and whose files import something with collectives, and of these
only the files that are reached through imports: nearest first, until the time that is given is used up. Nothing is imported.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..reading import read_bytes
from .installed import package_folders, site_folders, version_of
from .modules import NEVER_OURS, Modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..catalog.model import Catalog

#: `from a.b import (x, y)`, `import a.b as c, d`, at any depth of blocks.
_IMPORT: Final = re.compile(
    rb"^[ \t]*(?:from[ \t]+([.\w]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n#;]*(?:\\\n[^\n#;]*)*)|import[ \t]+([^\n#;]+))",
    re.MULTILINE,
)
_DEFINED: Final = re.compile(rb"^(?:async[ \t]+def|def|class)[ \t]+(\w+)", re.MULTILINE)
_EVERYTHING: Final = frozenset({"*"})


@dataclass(slots=True)
class Followed:
    """The files that were reached."""

    files: list[str] = field(default_factory=list)
    #: Name and version of each package with such files.
    packages: dict[str, str] = field(default_factory=dict)
    #: The time of `time.monotonic` after which none of them is read any more, and how many seconds that was from the start.
    deadline: float = 0.0
    seconds: float = 0.0

    @property
    def is_late(self) -> bool:
        """Whether the time is used up."""
        return time.monotonic() > self.deadline

    @property
    def notice(self) -> str:
        """What a run says of them."""
        named = ", ".join(f"{name} {version}".rstrip() for name, version in self.packages.items())
        many = f"{len(self.files)} file{'s' * (len(self.files) != 1)}"
        said = f"followed {many} of {named}" if self.files else "no installed package with collectives is imported here"
        late = f"; the {self.seconds:g} s are used up: what had not been read by then was not followed"
        return said + (late if self.is_late else "")


class _Search:
    """The way from the files of a program through packages."""

    def __init__(self, catalog: Catalog, roots: Iterable[Path], own: Modules, found: Followed) -> None:
        self._search: Sequence[str] = site_folders(roots)
        self._own, self._found = own, found
        self._roots: dict[str, str | None] = {}
        self._read: dict[str, tuple[frozenset[str], list[tuple[str, frozenset[str], bool]]]] = {}
        self._is_file = cache(os.path.isfile)
        modules = {
            name
            for api in catalog.of("collective", "implicit", "group_constructor", "lifecycle")
            if "." in (name := _module_of(api.name, catalog.modules))
        }
        modules |= {name.partition(".")[0] for name in modules} - {"torch"}
        names = b"|".join(re.escape(name.encode()) for name in sorted(modules, key=len, reverse=True))
        self._collectives = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(?:" + names + rb")\b", re.MULTILINE)

    def root(self, name: str, *, ours: bool) -> str | None:
        """The folder that holds the package of this name, if it is to be followed: files of the program import it."""
        if ours and name not in self._roots:
            self._roots[name] = None
            if name and name not in NEVER_OURS and not self._own.has([name]):
                for folder in package_folders(name, self._search)[:1]:
                    if self._runs_collectives(folder):
                        self._roots[name] = str(folder.parent)
                        self._found.packages[name] = version_of(folder)
        return self._roots.get(name)

    def _runs_collectives(self, folder: Path) -> bool:
        """Whether any file of a package imports what runs collectives."""
        for path in folder.rglob("*.py"):
            if self._found.is_late:
                return False
            try:
                if self._collectives.search(read_bytes(path)):
                    return True
            except OSError:
                continue
        return False

    def reached(self, path: str, names: frozenset[str], *, ours: bool) -> Iterator[tuple[str, frozenset[str]]]:
        """The files of packages that a file imports, with the names that are taken from each.

        `names` are those that are asked of it: of the `__init__` of a package only what defines or imports them counts.
        """
        defined, imports = self._imports(path, ours=ours)
        asked = None
        if path.endswith("__init__.py") and not ours and names != _EVERYTHING:
            asked = names if defined.isdisjoint(names) else None
        for module, given, is_plain in imports:
            if asked is None:
                yield from self._files(path, module, given, ours=ours)
            elif given == _EVERYTHING and not is_plain:
                yield from self._files(path, module, asked, ours=ours)
            elif not is_plain and not given.isdisjoint(asked):
                yield from self._files(path, module, given & asked, ours=ours)

    def _imports(self, path: str, *, ours: bool) -> tuple[frozenset[str], list[tuple[str, frozenset[str], bool]]]:
        """What a file defines; and its imports: the module, the names that are taken from it, whether it is `import a.b`."""
        if path in self._read:
            return self._read[path]
        found: list[tuple[str, frozenset[str], bool]] = []
        try:
            text = read_bytes(Path(path))
        except OSError:
            text = b""
        for origin, listed, plain in _IMPORT.findall(text):
            if origin.startswith(b".") or (origin and self.root(origin.partition(b".")[0].decode(), ours=ours)):
                given = frozenset(word.decode() for word in re.findall(rb"\w+", listed)) - {"as"}
                found.append((origin.decode(), given or _EVERYTHING, False))
            for part in plain.split(b","):
                module, _, alias = part.decode(errors="replace").strip().partition(" as ")
                if self.root(module.partition(".")[0], ours=ours) is not None:
                    head = re.escape((alias.strip() or module.partition(".")[0]).encode())
                    used = frozenset(word.decode() for word in re.findall(rb"\b" + head + rb"\.(\w+)", text))
                    found.append((module.strip(), used, True))
        self._read[path] = frozenset(name.decode() for name in _DEFINED.findall(text)), found
        return self._read[path]

    def _files(
        self, path: str, module: str, names: frozenset[str], *, ours: bool
    ) -> Iterator[tuple[str, frozenset[str]]]:
        """The files behind `from module import names`, and the packages above them."""
        level = len(module) - len(module.lstrip("."))
        if level and ours:
            return
        if level:
            folder = path
            for _ in range(level):
                folder = os.path.dirname(folder)
            parts = [part for part in module[level:].split(".") if part]
        else:
            root = self.root(module.partition(".")[0], ours=ours)
            if root is None:
                return
            folder, parts = root, module.split(".")
        for number in range(len(parts) + 1):
            base = os.path.join(folder, *parts[:number])
            is_last = number == len(parts)
            below = names if is_last else frozenset(parts[number : number + 1])
            if self._is_file(init := os.path.join(base, "__init__.py")):
                yield init, below
            elif is_last and self._is_file(f"{base}.py"):
                yield f"{base}.py", names
        for name in names:
            base = os.path.join(folder, *parts, name)
            if self._is_file(f"{base}.py"):
                yield f"{base}.py", _EVERYTHING


def _module_of(name: str, modules: frozenset[str]) -> str:
    """The longest part of a dotted name that is a module of the catalogue."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def follow(files: Sequence[str], catalog: Catalog, roots: Iterable[Path], seconds: float) -> Followed:
    """The files of installed packages that these files lead to, within so many seconds."""
    found = Followed(deadline=time.monotonic() + seconds, seconds=seconds)
    search = _Search(catalog, roots, Modules(dict.fromkeys(files)), found)
    seen: dict[str, frozenset[str]] = {}
    kept: dict[str, None] = {}
    pending = deque((path, _EVERYTHING, True) for path in files if path.endswith(".py"))
    while pending and not found.is_late:
        path, names, ours = pending.popleft()
        before = seen.get(path, frozenset())
        if path in seen and (names <= before or before >= _EVERYTHING):
            continue
        seen[path] = before | names
        if not ours:
            kept[path] = None
        pending += [(other, taken, False) for other, taken in search.reached(path, names - before, ours=ours)]
    found.files = list(kept)
    return found
