"""How a change spreads: from file to file as long as facts that are read elsewhere change, and no further."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..program.resolver import Program
    from .store import Asked, Reads


class Spread:
    """The files that are stale after a change, as the analysis of the first ones shows which facts are others now.

    Of a stale file that is not asked about no facts are computed: all that is read of it counts as changed.
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
        """`looked` and `reads` are what the last run has kept of each file.

        `beyond`: rules may read more than facts of functions that are called, so that all that has read a stale file is stale.
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
        """The files that are stale because of their text, or what they have seen of others' besides facts.

        `renamed` are those of the changed files in which names mean something else now, with these, or None if any may.
        `unknown` are files whose findings are not known. `asked` are by file the names that it has asked others for.
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
        """The files that are stale now that these facts are known, of the files that `looked` names."""
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
        """Whether a file has changed, or its functions belong to other circles than they did before."""
        shift = 2 * len(self._program.bits)
        return path in self._changed or looked >> shift != self._looked.get(path, 0) >> shift

    def _circles(self, path: str, looked: int) -> set[str]:
        """The files that have functions in a circle with those of a file, before or now."""
        program = self._program
        shifted = (looked | self._looked.get(path, 0)) >> 2 * len(program.bits)
        now = {other for other, bit in program.bits.items() if shifted & bit} if shifted else set()
        bit = program.circle(path)
        return now | {other for other, before in self._looked.items() if before & bit}

    def _added(self, found: set[str]) -> set[str]:
        """Those of the files that were not known to be stale, with those that follow from files that were not linted."""
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
