"""Opened programs; a process that lints repeatedly keeps the last ones, with what was computed for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..program.index import FileIndex, Indexes, class_table
from ..program.project import configured
from ..program.resolver import Program
from .collector import collect
from .shard import united

# The analysis is imported where it is needed: where nothing has changed since the last run, it is not.

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..analysis.program import Analysis
    from ..ir.nodes import Function
    from ..program.loader import Loader
    from ..program.project import Project
    from ..settings import Resolver
    from .plan import CacheView
    from .store import Asked

#: Programs that are held: that of the text as it is, and that of before, to which an edit that is undone leads back.
_MOST_HELD: Final = 2


class Opened:
    """A program whose files are read when they are needed."""

    def __init__(self, project: Project, resolver: Resolver, view: CacheView, loader: Loader) -> None:
        """Nothing is read yet."""
        self.project, self.resolver, self.view, self.loader = project, resolver, view, loader
        self.indexes = Indexes(project.all_files, self._index)
        self._followed = frozenset(project.followed.files if project.followed is not None else ())
        names = project.catalog.modules, project.catalog.names
        self.program = Program(self.indexes, self._lower, *names, self._bases)
        #: The facts of all functions that this process has interpreted.
        self.analysis: Analysis | None = None
        #: By file: all names that it has asked others for.
        self.asked: dict[str, Asked] = {}
        #: Files whose indexes are not those of the cache.
        self._indexed: set[str] = set()

    def _index(self, path: str) -> FileIndex:
        found = self.view.index(path)
        if found is None:
            self._indexed.add(path)
            found = FileIndex.empty(path) if self._is_left(path) else self.loader.index(path)
        return found

    def _lower(self, path: str) -> Mapping[str, Function]:
        return {} if self._is_left(path) else self.loader.lower(path)

    def _is_left(self, path: str) -> bool:
        """Whether it is a file of an installed package, and the time for those is used up."""
        followed = self.project.followed
        return followed is not None and path in self._followed and followed.is_late

    def _own(self) -> Mapping[str, FileIndex]:
        """The indexes of the program itself."""
        return {path: self.indexes[path] for path in self.project.files} if self._followed else self.indexes

    def own_program(self) -> Program:
        """The program without the installed packages that it leads to: those do not call its functions."""
        if not self._followed:
            return self.program
        return Program(self._own(), self._lower, self.project.catalog.modules, self.project.catalog.names)

    def _bases(self) -> Mapping[str, Sequence[tuple[str, str, str]]]:
        # Classes of installed packages are found by their names; which are below others there is not looked for.
        return self.view.bases(self._own())

    def analysed(self) -> Analysis:
        """The analysis of the program; facts that are known are kept."""
        from ..analysis.program import Analysis

        if self.analysis is None:
            annotations = configured(self.project.files, self.resolver)
            self.analysis = Analysis(self.program, self.project.catalog, (), annotations)
        return self.analysis

    def all_asked(self, asked: Mapping[str, Asked]) -> dict[str, Asked]:
        """The names that files have looked up in others, including those of earlier runs."""
        self.asked = united(self.asked, asked)
        return self.asked

    def changes(self, now: Opened) -> dict[str, FileIndex] | None:
        """The changed files with their indexes in `now`, a newly opened version; None if it is another program.

        Names may mean something else in it, but class hierarchies and annotations in comments must be the same.
        """
        if self.view.key != now.view.key or self.project.catalog is not now.project.catalog:
            return None
        before = self.view.stamps
        if before.keys() != now.view.stamps.keys():
            return None
        found: dict[str, FileIndex] = {}
        for path, stamp in now.view.stamps.items():
            if stamp[2] == before[path][2] and stamp[2]:
                continue
            known = self.indexes.made(path)
            # What has not been read by its file may have been told by the cache.
            if known is None:
                return None
            found[path] = now.indexes[path]
            if class_table(found[path]) != class_table(known) or found[path].annotated != known.annotated:
                return None
        return found

    def read_as(self, other: Opened) -> None:
        """Take over the indexes of unchanged files from another program."""
        stamps = other.view.stamps
        for path, stamp in self.view.stamps.items():
            known = other.indexes.made(path) if stamp[2] and path in stamps and stamps[path][2] == stamp[2] else None
            if known is not None and known.problem is None:
                self.indexes.preload([known])
                self._indexed.add(path)

    def renamed(self, changed: Mapping[str, FileIndex]) -> list[str]:
        """The changed files whose index differs, so that other files may find something else in them."""
        return [path for path, index in changed.items() if not _is_like(self.indexes[path], index)]

    def is_bound(self, renamed: Sequence[str]) -> bool:
        """Whether something depends on the names of these files without having recorded it."""
        if self.analysis is None or not renamed:
            return False
        return self.analysis.is_configured

    def follow(self, now: Opened, changed: Mapping[str, FileIndex], renamed: Sequence[str]) -> None:
        """Become the program of `now`; everything that depends on the changed files is forgotten."""
        self.project, self.resolver, self.view, self.loader = now.project, now.resolver, now.view, now.loader
        self.indexes.preload(changed.values())
        self._indexed |= changed.keys()
        for path in sorted(self._indexed):
            # The cache has labels of its own for the statements of a file.
            kept = self.view.index(path)
            if kept is not None:
                self._indexed.discard(path)
                self.indexes.preload([kept])
        self.program.forget(changed, renamed)
        if self.analysis is not None:
            self.analysis.forget(changed, renamed)


def _is_like(one: FileIndex, other: FileIndex) -> bool:
    """Whether two versions of a file look the same to other files."""
    return one == other or (one.problem is not None and other.problem is not None)


def _is_cheap(fresh: Opened) -> bool:
    """Whether there is nothing to analyse: while a line is being typed, its file may not parse for a moment."""
    return all(fresh.indexes[path].problem is not None for path in fresh.project.asked)


class Held:
    """The last programs of one project, kept for the lifetime of the process."""

    def __init__(self) -> None:
        """None yet."""
        self._programs: list[Opened] = []

    def __len__(self) -> int:
        """How many there are."""
        return len(self._programs)

    def take(self, fresh: Opened) -> Opened:
        """The program of `fresh`, reusing a held one that matches it; it is no longer held until `hold` returns it."""
        best: tuple[int, Opened, dict[str, FileIndex], list[str]] | None = None
        for known in self._programs:
            changed = known.changes(fresh)
            if changed is None:
                continue
            renamed = known.renamed(changed)
            if not known.is_bound(renamed) and (best is None or len(renamed) < best[0]):
                best = len(renamed), known, changed, renamed
        if best is not None and (not best[3] or not _is_cheap(fresh)):
            _, known, changed, renamed = best
            self._programs.remove(known)
            known.follow(fresh, changed, renamed)
            return known
        for known in self._programs[:1]:
            fresh.read_as(known)
        if len(self._programs) >= _MOST_HELD:
            del self._programs[_MOST_HELD - 1 :]
            collect()
        return fresh

    def hold(self, program: Opened) -> None:
        """Hold a program that is not in use; it is the first that `take` considers."""
        self._programs.insert(0, program)
        del self._programs[_MOST_HELD:]
