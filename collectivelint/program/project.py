"""The files of a run: those to report about, the others of their projects, and the configuration of all of them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..catalog.reader import load
from ..reading import read_text
from ..settings.model import SettingsError
from ..source.discover import discover, project_roots
from ..source.paths import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from ..catalog.model import Catalog
    from ..settings.resolver import Resolver
    from ..source.annotations import Annotation
    from ..source.text import UnreadableError
    from .following import Followed


@dataclass(frozen=True, slots=True)
class Project:
    """The files of a program by path as findings name it, `asked` before the others."""

    #: The files to report about.
    asked: tuple[str, ...]
    #: All files of the program: functions of the others may be called from those.
    files: tuple[str, ...]
    #: The folders that hold the projects of the files.
    roots: tuple[Path, ...]
    #: What the program is, as the key of its cache names it: its roots, or the paths that were given.
    places: tuple[str, ...]
    #: Files and folders that could not be followed.
    unreadable: tuple[tuple[str, UnreadableError], ...]
    catalog: Catalog
    #: Files of installed packages that functions of the program call; nothing is reported about them.
    followed: Followed | None = None

    @property
    def all_files(self) -> tuple[str, ...]:
        """The files of the program, and those of installed packages that it uses."""
        return self.files if self.followed is None else (*self.files, *self.followed.files)


def open_project(paths: Sequence[Path], resolver: Resolver, follow: float | None = None) -> Project:
    """The project around files and folders; raise SettingsError if a configuration of it cannot be used.

    `follow`: time limit in seconds for following installed packages that it uses.
    """
    given = discover(paths, resolver)
    asked = tuple(shown(path) for path in given.files)
    roots = project_roots(paths)
    known = set(asked)
    others = (name for root in roots for path in discover([root], resolver).files if (name := shown(path)) not in known)
    files = (*asked, *others)
    places = tuple(map(str, roots)) or tuple(map(str, paths))
    unreadable = tuple((shown(path), error) for path, error in given.unreadable)
    catalog = _catalog(files, resolver)
    followed = None
    if follow is not None:
        from .following import follow as follow_from

        followed = follow_from(files, catalog, roots, follow)
    return Project(asked, files, tuple(roots), places, unreadable, catalog, followed)


def _catalog(files: Iterable[str], resolver: Resolver) -> Catalog:
    """The catalogue, with the files that the configuration of these files names; raise SettingsError."""
    folders = dict.fromkeys(os.path.dirname(path) for path in files)
    own = dict.fromkeys(file for folder in folders for file in resolver.settings_in(folder).catalog_files)
    # All configuration has been read now: under half of it, findings would be others than were asked for.
    if resolver.problems:
        raise SettingsError(resolver.problems)
    return load(tuple(own))


def configured(files: Iterable[str], resolver: Resolver) -> dict[str, Annotation]:
    """The annotations of names in the configuration of these files, by dotted name."""
    found: dict[str, Annotation] = {}
    for folder in dict.fromkeys(os.path.dirname(path) for path in files):
        found |= resolver.settings_in(folder).catalog
    return found


def configurations(roots: Iterable[Path]) -> list[str]:
    """The texts of the files that define the console scripts of projects."""
    found = []
    for root in roots:
        for name in ("pyproject.toml", "setup.cfg", "setup.py"):
            try:
                found.append(read_text(root / name, errors="replace"))
            except OSError:
                continue
    return found
