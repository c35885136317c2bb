"""The files to analyse, because they or their dependencies have changed, and the findings of the others."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..reach.answers import Answers
from ..reading import read_bytes
from ..registry import discover as discover_rules
from ..registry import origin as rule_origin
from ..source.discover import roots_of
from .makings import making_of, summary_of
from .moved_lines import after_moves
from .shard import united
from .spread import Spread
from .store import Cache, Row, bases_in, key, shape, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from ..analysis.summary.making import Making
    from ..finding import Finding
    from ..program.index import FileIndex, Indexes
    from ..program.line_table import LineTable
    from ..program.project import Project
    from ..program.resolver import Program
    from ..settings import Resolver
    from .shard import Shard


class CacheView:
    """One run's view of the cache."""

    def __init__(
        self,
        folder: Path | None,
        project: Project,
        resolver: Resolver,
        texts: Mapping[str, bytes],
        *,
        fixing: bool = False,
        alias: tuple[str, str] = ("", ""),
    ) -> None:
        """`texts` are the contents of files that differ from those on the disk.

        Without a folder nothing is read or written. `fixing`: fixes in the cache are not used, since they are going to
        be written to files, and the cache may have been written by another program. `alias`: as in `key`.
        """
        self._fixing = fixing
        self._asked, self._every = project.asked, project.files
        self._texts = texts
        self._catalog = project.catalog
        self._store: Cache | None = None
        #: (mtime, size, digest) of each file, and the name of the cache's entry; empty without a cache.
        self.stamps: dict[str, tuple[int, int, str]] = {}
        self.key = ""
        self._changed: set[str] = set(project.files)
        #: Whether all files are analysed and nothing of the cache is used.
        self.full_run = True
        self._found: dict[str, list[Finding]] = {}
        self._again: set[str] = set(project.files)
        self._spread: Spread | None = None
        #: Of the files that have changed since the last run: where statements were, and where they are.
        self._moves: dict[str, tuple[LineTable, LineTable]] = {}
        #: Changed files that make groups elsewhere now.
        self._remade: set[str] = set()
        #: Files whose findings in the cache lead to other lines now.
        self._led: set[str] = set()
        self._made: dict[str, list[Making]] | None = None
        self._constructors: tuple[bytes, ...] | None = None
        if folder is not None:
            places = dict.fromkeys(path.rpartition("/")[0] for path in project.files)
            # What is a test lies in the tests of its project: the roots between here and the files count too.
            below = [f"{place} {root}" for place, root in roots_of(places).items()]
            settings = [(place, resolver.settings_in(place)) for place in places]
            self.key = key([*project.places, *below], settings, alias)
            self._store = Cache(folder, self.key)
            before = self._store.stamps()
            self.stamps = {path: stamp(path, before.get(path), texts.get(path)) for path in project.files}
            if before and before.keys() == self.stamps.keys():
                self.full_run = False
                now = self.stamps.items()
                self._changed = {path for path, known in now if known[2] != before[path][2] or not known[2]}

    @property
    def notices(self) -> list[str]:
        """Messages about the cache."""
        return [self._store.foreign] if self._store is not None and self._store.foreign else []

    def index(self, path: str) -> FileIndex | None:
        """The index of a file that has not changed."""
        return None if self._store is None or self.full_run or path in self._changed else self._store.index(path)

    def bases(self, indexes: Mapping[str, FileIndex]) -> Mapping[str, Sequence[tuple[str, str, str]]]:
        """`class_table` of every file."""
        if self._store is None or self.full_run:
            return {path: bases_in(shape(index)) for path, index in indexes.items()}
        known = {path: bases_in(some) for path, some in self._store.shapes().items() if path not in self._changed}
        return known | {path: bases_in(shape(indexes[path])) for path in self._changed}

    def stale_files(self, program: Program, indexes: Indexes) -> list[str]:
        """The files to report about whose findings the cache does not have."""
        if self._store is None or self.full_run:
            return list(self._asked)
        if self._changed and self._reshaped(self._store, program, indexes):
            self.full_run = True
            return list(self._asked)
        asked = set(self._asked)
        known = self._store.findings(frozenset(self._every))
        if self._fixing:
            known = {
                path: some for path, some in known.items() if not (path in asked and any(item.fix for item in some))
            }
        self._again = asked - known.keys()
        if self._changed:
            renamed = self._renamed(self._store, indexes)
            unknown = self._again | self._follow_moves(known)
            # What the rules of others read is not known.
            beyond = any(map(rule_origin, discover_rules()))
            self._spread = Spread(program, self._store.looked(), self._store.reads(), asked, beyond=beyond)
            self._again = self._spread.begin(self._changed, renamed, unknown, self._store.asked() if renamed else {})
        self._found = {path: some for path, some in known.items() if path not in self._again}
        return [path for path in self._asked if path not in self._found]

    def _renamed(self, store: Cache, indexes: Indexes) -> dict[str, frozenset[str] | None]:
        """By changed file the names whose meaning has changed; None: any may have. Records how its lines moved."""
        found: dict[str, frozenset[str] | None] = {}
        for path in self._changed:
            before, now = store.index(path), indexes[path]
            if before is None:
                found[path] = None
                continue
            lines = now.lines.following(before.lines)
            if lines != before.lines or path in self._remade:
                self._moves[path] = before.lines, lines
            if before != now:
                found[path] = now.changed_names(before)
        return found

    def _follow_moves(self, known: dict[str, list[Finding]]) -> set[str]:
        """Update the lines of cached findings; returns the files whose findings could not be updated."""
        lost: set[str] = set()
        for path in known.keys() - self._changed:
            now = after_moves(known[path], self._moves)
            if now is None:
                lost.add(path)
            elif now != known[path]:
                known[path] = now
                self._led.add(path)
        return lost

    def lines(self, path: str, indexes: Mapping[str, FileIndex]) -> LineTable:
        """The line table of a file; digests of facts count lines relative to the statements in it."""
        return self._moves[path][1] if path in self._moves else indexes[path].lines

    @property
    def is_kept(self) -> bool:
        """Whether the findings will be stored for the next run."""
        return self._store is not None

    @property
    def every(self) -> Sequence[str]:
        """All files of the program."""
        return self._every

    @property
    def asked(self) -> Sequence[str]:
        """The files whose findings will be known after the run."""
        return self._asked

    def watched(self, path: str) -> Iterable[str]:
        """The facts of a file that others have read before: their digests are compared."""
        return self._spread.watched(path) if self._spread is not None and not self.full_run else ()

    def following(self, shard: Shard) -> list[str]:
        """The files to analyse next, because facts that they read differ in `shard`."""
        if self.full_run or self._spread is None:
            return []
        found = self._spread.following(shard.digests, shard.looked)
        self._again |= found
        for path in found:
            self._found.pop(path, None)
        return [path for path in self._asked if path in found]

    def _reshaped(self, store: Cache, program: Program, indexes: Indexes) -> bool:
        """Whether something changed that files depend on without recording it: class hierarchies, or created groups."""
        if any(shape(indexes[path]) != store.shape(path) for path in self._changed):
            return True
        self._made = {path: [making_of(path, item) for item in some] for path, some in store.made().items()}
        before = summary_of(self._made)
        for path in self._changed:
            made = self._made_by(program, path)
            if made != self._made.get(path, []):
                # Messages say where the first one is: such a message is made again.
                self._remade.add(path)
            self._made[path] = made
        return summary_of(self._made) != before

    def making(self, program: Program) -> list[Making]:
        """Where the program makes sub-groups."""
        if self._made is None:
            if self._store is not None and not self.full_run:
                self._made = {
                    path: [making_of(path, item) for item in some] for path, some in self._store.made().items()
                }
            else:
                self._made = self.made_in(program, self._every)
        return [item for path in self._every for item in self._made.get(path, ())]

    def has_groups(self, program: Program) -> bool:
        """Whether any file of the program creates a group of some ranks only."""
        return any(item.members != "all" for item in self.making(program))

    def _made_by(self, program: Program, path: str) -> list[Making]:
        """Where a file creates groups, if its text contains the name of a constructor."""
        from ..analysis.checks.group_sites import made_in

        try:
            text = self._texts[path] if path in self._texts else read_bytes(path)
        except OSError:
            return []
        if self._constructors is None:
            names = {api.op.encode() for api in self._catalog.of("group_constructor")}
            # What has `new_subgroups_by_enumeration` in it has `new_subgroups` as well.
            self._constructors = tuple(name for name in names if not any(one in name for one in names - {name}))
        if not any(name in text for name in self._constructors):
            return []
        return made_in(program, self._catalog, path)

    def made_in(self, program: Program, paths: Sequence[str]) -> dict[str, list[Making]]:
        """Where these files make groups."""
        return {path: made for path in paths if (made := self._made_by(program, path))}

    def merge(self, made: Sequence[dict[str, list[Making]]]) -> None:
        """Take over where groups are created, as found by worker processes."""
        self._made = {path: places for some in made for path, places in some.items()}

    def take(self, shard: Shard, stale: Sequence[str]) -> None:
        """Take over the findings of the stale files."""
        found: dict[str, list[Finding]] = {path: [] for path in stale}
        for finding in shard.findings:
            found.setdefault(finding.seen_from or finding.path, []).append(finding)
        self._found |= found

    def answers(self, code: Callable[[str], bytes], commands: str) -> Answers:
        """What an earlier run found out about functions, where it is still valid; `code` gives the code of a file."""
        known = None if self._store is None or self.full_run else self._store.answers()
        return known if known is not None and known.hold(self._changed, code, commands) else Answers(commands=commands)

    def save(self, shard: Shard, stale: Sequence[str], indexes: Indexes, answers: Answers) -> None:
        """Write what was found about the stale files, and answers, to the cache unless there was an internal error."""
        lasting = answers.lasting
        if self._store is None or shard.errors or not (stale or lasting != self._store.answers()):
            return
        # What depends on a change and was not asked about is not known any more.
        paths = self._every if self.full_run else {*self._again, *stale}
        rows: dict[str, Row] = {}
        before = {} if self.full_run else self._store.asked()
        names = united(before, shard.asked)
        for path in paths:
            made = self._made.get(path, ()) if self._made is not None else ()
            rows[path] = Row(
                stamp=self.stamps[path],
                findings=self._found.get(path),
                looked=shard.looked.get(path, 0),
                made=[[item.op, *item.span.numbers, item.lists, item.members] for item in made],
                index=replace(indexes[path], lines=self.lines(path, indexes)),
                reads=shard.reads.get(path, {}),
                asked=names.get(path, {}),
            )
        self._store.save(
            rows,
            lasting,
            only=self.full_run,
            findings={path: self._found[path] for path in self._led - rows.keys()},
            asked={path: some for path, some in names.items() if path not in rows and some != before.get(path)},
        )

    def findings(self) -> list[Finding]:
        """The findings of this run, and the cached ones that are still valid."""
        asked = dict.fromkeys(self._asked)
        # Of a file that is not asked about, the cache may know how it calls one that is.
        others = (path for path in self._found if path not in asked)
        found = (finding for path in (*asked, *others) for finding in self._found.get(path, ()))
        return [finding for finding in found if finding.path in asked]
