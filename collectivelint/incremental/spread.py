"""How a change propagates from file to file: only as long as facts that other files read have changed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..program.resolver import Program
    from .store import Asked, Reads


class Spread:
    """The files that are stale after a change, refined as the analysis shows which facts have changed.

    No facts are computed for a stale file that is not linted: every fact read from it counts as changed.
    """

    def __init__(
        self,
        program: Program,
        looked: Mapping[str, int],
        reads: Mapping[str, Reads],
        asked: Iterable[str],
        *,
        beyond: bool = False,
    ) -> None:
        """`looked` and `reads` are what the last run recorded for each file.

        `beyond`: rules may read more than the facts of called functions, so every file that has read a stale one is
        stale.
        """
        self._beyond = beyond
        self._program, self._looked = program, looked
        self._asked = frozenset(asked)
        self._changed: set[str] = set()
        self._stale: set[str] = set()
        self._compared: set[str] = set()
        #: By file: the files that have read facts of it, with those facts and the digests they had.
        self._readers: defaultdict[str, dict[str, dict[str, str]]] = defaultdict(dict)
        for reader, files in reads.items():
            for path, names in files.items():
                self._readers[path][reader] = names

    def begin(
        self,
        changed: set[str],
        renamed: Mapping[str, frozenset[str] | None],
        unknown: set[str],
        asked: Mapping[str, Asked],
    ) -> set[str]:
        """The files that are stale because their text, or something other than facts that they read, has changed.

        `renamed` maps changed files to the names whose meaning has changed, or to None if any may have. `unknown` are
        files whose findings are not known. `asked` are the names that each file has looked up in others.
        """
        program = self._program
        self._changed = changed
        bits = sum(program.body(path) | program.circle(path) for path in changed)
        found = {path for path, looked in self._looked.items() if looked & bits}
        for path, names in renamed.items():
            bit = program.bits[path]
            readers = {reader: looked for reader, looked in self._looked.items() if looked & bit}
            if names is not None:
                # Names that no file has asked for are of no consequence, found or not.
                asking = sum(program.bits[file] for file, of in asked.items() if not names.isdisjoint(of.get(path, ())))
                readers = {reader: looked for reader, looked in readers.items() if looked & asking}
            found |= readers.keys()
        return self._added(changed | unknown | found)

    def watched(self, path: str) -> set[str]:
        """The facts of a file that others have read."""
        return {name for names in self._readers.get(path, {}).values() for name in names}

    def following(self, digests: Reads, looked: Mapping[str, int]) -> set[str]:
        """The files that become stale given the new facts of the files in `looked`."""
        found: set[str] = set()
        for path in looked.keys() - self._compared:
            self._compared.add(path)
            now = digests.get(path, {})
            readers = self._readers.get(path, {})
            others = {reader for reader, names in readers.items() if not names.items() <= now.items()}
            found |= readers.keys() if self._beyond and path in self._stale else others
            if path in self._stale and (self._beyond or others or self._is_in_other_circles(path, looked[path])):
                # What a circle gives depends on all its members: on those whose facts are others, or the circle itself is.
                found |= self._circles(path, looked[path])
        return self._added(found)

    def _is_in_other_circles(self, path: str, looked: int) -> bool:
        """Whether a file has changed, or its functions belong to other call cycles than before."""
        shift = 2 * len(self._program.bits)
        return path in self._changed or looked >> shift != self._looked.get(path, 0) >> shift

    def _circles(self, path: str, looked: int) -> set[str]:
        """The files with functions in a call cycle with those of a file, before or now."""
        program = self._program
        shifted = (looked | self._looked.get(path, 0)) >> 2 * len(program.bits)
        now = {other for other, bit in program.bits.items() if shifted & bit} if shifted else set()
        bit = program.circle(path)
        return now | {other for other, before in self._looked.items() if before & bit}

    def _added(self, found: set[str]) -> set[str]:
        """Mark files as stale; returns the new ones, with those that depend on stale files that are not linted."""
        pending = sorted(found - self._stale)
        fresh: set[str] = set()
        while pending:
            path = pending.pop()
            if path in self._stale:
                continue
            self._stale.add(path)
            fresh.add(path)
            if path not in self._asked:
                pending += [*self._readers.get(path, {}), *self._circles(path, 0)]
        return fresh
