"""The files of installed packages that a program uses, such as a framework's own source, if a run follows them.

Only packages are followed that the program imports itself and whose files import something with collectives, and only
files reached through imports: nearest first, until the time limit. Nothing is executed.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from ..reading import read_bytes
from ..source.import_statements import import_statements
from .installed import package_folders, site_folders, version_of
from .modules import NEVER_OURS, Modules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..catalog.model import Catalog

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
        """A message about the packages that were followed."""
        named = ", ".join(f"{name} {version}".rstrip() for name, version in self.packages.items())
        many = f"{len(self.files)} file{'s' * (len(self.files) != 1)}"
        said = f"followed {many} of {named}" if self.files else "no installed package with collectives is imported here"
        late = f"; the {self.seconds:g} s are used up: what had not been read by then was not followed"
        return said + (late if self.is_late else "")


#: A file, and the names that are taken from it.
_Step: TypeAlias = "tuple[str, frozenset[str]]"


@dataclass(slots=True)
class _Imports:
    """What a file defines; the modules that it imports, with the names taken from each (empty: all, by `*`)."""

    defined: frozenset[str]
    modules: list[tuple[str, frozenset[str]]] = field(default_factory=list)
    by_name: dict[str, list[str]] = field(default_factory=dict)
    stars: list[str] = field(default_factory=list)


class _Search:
    """The search from the files of a program through packages."""

    def __init__(self, catalog: Catalog, roots: Iterable[Path], own: Modules, found: Followed) -> None:
        self._search: Sequence[str] = site_folders(roots)
        self._own, self._found = own, found
        self._roots: dict[str, str | None] = {}
        self._read: dict[str, _Imports] = {}
        self._is_file = cache(os.path.isfile)
        modules = {
            name
            for api in catalog.of("collective", "implicit", "group_constructor", "lifecycle")
            if "." in (name := _module_of(api.name, catalog.modules))
        }
        modules |= {name.partition(".")[0] for name in modules} - NEVER_OURS
        names = b"|".join(re.escape(name.encode()) for name in sorted(modules, key=len, reverse=True))
        self._collectives = re.compile(rb"^[ \t]*(?:from|import)[ \t]+(?:" + names + rb")\b", re.MULTILINE)

    def root(self, name: str, *, ours: bool) -> str | None:
        """The folder that holds the package of this name, if followed; `ours`: a file of the program imports it."""
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

    def reached(self, path: str, names: frozenset[str], *, ours: bool) -> Iterator[_Step]:
        """The files of packages that a file imports, with the names taken from each.

        `names` are those requested from it: in the `__init__` of a package only imports that provide them count, unless
        it defines one itself.
        """
        known = self._imports(path, ours=ours)
        if ours or not path.endswith("__init__.py") or names >= _EVERYTHING or not known.defined.isdisjoint(names):
            for module, given in known.modules:
                yield from self._files(path, module, given, ours=ours)
            return
        left = set(names)
        for name in names & known.by_name.keys():
            left.discard(name)
            for module in known.by_name[name]:
                yield from self._files(path, module, frozenset((name,)), ours=False)
        for module in known.stars if left else ():
            for inner, asked in self._files(path, module, frozenset(left), ours=False):
                provided = asked & self._imports(inner, ours=False).defined
                more = asked & self._imports(inner, ours=False).by_name.keys()
                if provided or more or self._imports(inner, ours=False).stars:
                    left -= provided
                    yield inner, frozenset(left) if inner.endswith("__init__.py") and not provided else asked

    def _imports(self, path: str, *, ours: bool) -> _Imports:
        """What a file defines and imports."""
        if path in self._read:
            return self._read[path]
        try:
            text = read_bytes(Path(path))
        except OSError:
            text = b""
        found = self._read[path] = _Imports(frozenset(name.decode() for name in _DEFINED.findall(text)))
        for statement in import_statements(text):
            module, names = statement.module, statement.names
            if not module.startswith(".") and self.root(module.partition(".")[0], ours=ours) is None:
                continue
            if names is None:
                head = re.escape((statement.bound if statement.bound != module else module.partition(".")[0]).encode())
                used = frozenset(word.decode() for word in re.findall(rb"\b" + head + rb"\.(\w+)", text))
                found.modules.append((module, used))
                continue
            given = frozenset(name for pair in names for name in pair) - _EVERYTHING
            found.modules.append((module, given))
            if not given:
                found.stars.append(module)
            for name in given:
                found.by_name.setdefault(name, []).append(module)
        return found

    def _files(self, path: str, module: str, names: frozenset[str], *, ours: bool) -> Iterator[_Step]:
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
        base = folder
        for part in (*parts, ""):
            # Those on the way have to be there, and say nothing of what is meant.
            if part and base != folder and self._is_file(f"{base}{os.sep}__init__.py"):
                yield f"{base}{os.sep}__init__.py", frozenset()
            base = f"{base}{os.sep}{part}" if part else base
        if self._is_file(f"{base}.py"):
            yield f"{base}.py", _EVERYTHING
        elif self._is_file(f"{base}{os.sep}__init__.py"):
            inner = {name: f"{base}{os.sep}{name}" for name in names}
            modules = {name for name, where in inner.items() if self._is_file(f"{where}.py")}
            packages = {name for name, where in inner.items() if self._is_file(f"{where}{os.sep}__init__.py")}
            yield f"{base}{os.sep}__init__.py", names - modules - packages
            yield from ((f"{inner[name]}.py", _EVERYTHING) for name in sorted(modules))
            yield from ((f"{inner[name]}{os.sep}__init__.py", _EVERYTHING) for name in sorted(packages) if ours)


def _module_of(name: str, modules: frozenset[str]) -> str:
    """The longest prefix of a dotted name that is a module of the catalogue; "" if there is none."""
    while name and name not in modules:
        name = name.rpartition(".")[0]
    return name


def follow(files: Sequence[str], catalog: Catalog, roots: Iterable[Path], seconds: float) -> Followed:
    """The files of installed packages that these files lead to, within a time limit in seconds."""
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
