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
            for reader, names in self._readers.get(path, {}).items():
                if (self._beyond and path in self._stale) or any(
                    now.get(name) != digest for name, digest in names.items()
                ):
                    found.add(reader)
            if path in self._stale:
                # What a circle gives depends on all its members.
                found |= self._circles(path, looked[path])
        return self._added(found)

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
