"""Which files have to be analysed, because they or what they rest on have changed, and what is known of the others."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from . import catalog
from .analysis.facts import Making
from .analysis.making import made_in
from .cache import Cache, Entry, affected, key, stamp
from .events import Span
from .index import class_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .finding import Finding
    from .index import Indexes
    from .program import Program
    from .settings import Resolver


@dataclass(slots=True)
class Shard:
    """What analysing some files gave: findings, internal errors, and for each file which others were looked at."""

    findings: list[Finding] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    edges: dict[str, list[str]] = field(default_factory=dict)

    def add(self, other: Shard) -> None:
        """Take over what another shard found."""
        self.findings += other.findings
        self.errors += [error for error in other.errors if error not in self.errors]
        for path, seen in other.edges.items():
            self.edges[path] = sorted({*self.edges.get(path, ()), *seen})


class Memory:
    """One run's view of the cache."""

    def __init__(self, folder: Path | None, asked: Sequence[str], every: Sequence[str], resolver: Resolver) -> None:
        """Without a folder nothing is known and nothing kept."""
        self._asked = asked
        self._every = every
        self._store: Cache | None = None
        self._known: Entry | None = None
        self._entry = Entry()
        self._kept: set[str] = set()
        self._made: dict[str, list[Making]] | None = None
        if folder is not None:
            places = dict.fromkeys(os.path.dirname(path) for path in asked)
            self._store = Cache(folder, key(asked, [(place, resolver.settings_in(place)) for place in places]))
            self._known = self._store.load()
            before = self._known.stamps if self._known is not None else {}
            self._entry.stamps = {path: stamp(path, before.get(path)) for path in every}

    def pending(self, program: Program, indexes: Indexes) -> list[str]:
        """The asked files whose findings are not known."""
        known, now = self._known, self._entry.stamps
        if known is None or known.stamps.keys() != now.keys():
            return list(self._asked)
        changed = {path for path, (_, _, digest) in now.items() if digest != known.stamps[path][2] or not digest}
        if changed and self._reshaped(known, changed, program, indexes):
            return list(self._asked)
        again = affected(changed, known.edges)
        self._kept = {path for path in self._asked if path not in again}
        return [path for path in self._asked if path in again]

    def _reshaped(self, known: Entry, changed: set[str], program: Program, indexes: Indexes) -> bool:
        """Has something changed that files may rest on without having looked at it: classes, or whether groups are made?"""
        if any(_shape(indexes, path) != known.shapes.get(path, []) for path in changed):
            return True
        self._made = {path: [_making(path, item) for item in some] for path, some in known.made.items()}
        before = _summary(self._made)
        self._made |= {path: made_in(program, catalog.load(), path) for path in changed if _mentions(path)}
        return _summary(self._made) != before

    def making(self, program: Program) -> list[Making]:
        """Where the program makes sub-groups."""
        if self._made is None:
            self._made = {path: made_in(program, catalog.load(), path) for path in self._every if _mentions(path)}
        return [item for path in self._every for item in self._made.get(path, ())]

    def keep(self, shard: Shard, indexes: Indexes) -> None:
        """Take over what has been found now, and save it for the next run unless something went wrong."""
        entry, known = self._entry, self._known
        for finding in shard.findings:
            entry.findings.setdefault(finding.path, []).append(finding)
        if self._store is None or shard.errors:
            return
        entry.edges = dict(shard.edges)
        entry.made = {
            path: [[item.op, *_tuple(item.span), item.lists] for item in some]
            for path, some in (self._made or {}).items()
        }
        if known is not None and self._kept:
            again = {path for path in self._asked if path not in self._kept}
            entry.edges = {path: some for path, some in known.edges.items() if path not in again} | entry.edges
            changed = {path for path, (_, _, digest) in entry.stamps.items() if digest != known.stamps[path][2]}
            entry.shapes = known.shapes | {path: _shape(indexes, path) for path in changed}
        else:
            entry.shapes = {path: shape for path in self._every if (shape := _shape(indexes, path))}
        kept = {path: self._known.findings.get(path, []) for path in self._kept} if self._known is not None else {}
        self._store.save(
            Entry(entry.stamps, list(self._asked), entry.findings | kept, entry.edges, entry.made, entry.shapes)
        )

    def findings(self) -> list[Finding]:
        """Those found now and those that are still true."""
        found = [finding for some in self._entry.findings.values() for finding in some]
        if self._known is not None:
            found += [finding for path in self._kept for finding in self._known.findings.get(path, ())]
        return found


def _shape(indexes: Indexes, path: str) -> list[list[str]]:
    """What the classes of a file look like from outside."""
    index = indexes[path]
    bases = [[name, base, own] for name, base, own in class_table(index)]
    return bases + [[name, *class_.methods] for name, class_ in index.classes.items()]


def _summary(made: dict[str, list[Making]]) -> tuple[object, ...]:
    """What a report says of the groups that a program makes: the first one, and whether ranks are listed."""
    every = [item for path in sorted(made) for item in made[path]]
    return (*every[:1], any(item.lists for item in every))


def _mentions(path: str) -> bool:
    """Does the text of a file have the name of a group's constructor in it?"""
    try:
        text = Path(path).read_bytes()
    except OSError:
        return False
    return any(api.op.encode() in text for api in catalog.load().of("group_constructor"))


def _making(path: str, item: list[object]) -> Making:
    op, *span, lists = item
    return Making(str(op), path, Span(*span), lists=bool(lists))  # type: ignore[arg-type]  # four numbers


def _tuple(span: Span) -> tuple[int, int, int, int]:
    return (span.line, span.column, span.end_line, span.end_column)
