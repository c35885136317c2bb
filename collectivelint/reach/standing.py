"""What becomes of findings once it is known which programs run the functions they are in, and on how many ranks."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from ..program.dependencies import Separately, files_of
from ..program.target import Target
from ..source.discover import is_test
from .answers import Verdict, digest
from .callers import Callers
from .entry_points import EntryPoints, console_scripts, is_test_function
from .import_reach import ImportReach
from .libraries import Libraries
from .one_rank import OneRank
from .openness import Openness
from .single_process import SingleProcess
from .single_rank import SingleRank
from .texts import Texts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..catalog.model import Catalog
    from ..program.resolver import Program
    from .answers import Question

#: Rules about what differs between ranks that all get there, by their codes: where one rank does, nothing differs.
_LOCAL: Final = ("CL202", "CL203", "CL204", "CL205", "CL206", "CL208", "CL403", "CL404")
#: Those of them that may also be about a condition on ranks.
_OWN: Final = ("CL202", "CL208")
#: Rules about what happens between ranks. The other rules of checkpoints are as true of a program of one process: a
#: script that converts a checkpoint is where the number of its parts is guessed, and what it has read is trusted.
_BETWEEN_RANKS: Final = ("CL1", "CL2", "CL3", "CL401", "CL402", "CL403", "CL404")


class Reach:
    """Which functions one rank runs, and which only programs of one process do."""

    def __init__(
        self, program: Program, catalog: Catalog, code: Callable[[str], bytes], configurations: Iterable[str] = ()
    ) -> None:
        """`code` gives the code of a file; `configurations` are the texts that name the commands of the project."""
        self._texts = Texts(program.indexes, code)
        libraries = Libraries(program, catalog, self._texts)
        callers = Callers(program, self._texts, Openness(program, catalog, self._texts), libraries)
        self._program, self._code = program, code
        self._looked = 0
        self.entry_points = EntryPoints(
            program, callers, ImportReach(program, self._texts), console_scripts(program, configurations)
        )
        self.single_process = SingleProcess(program, catalog, callers, self.entry_points, libraries)
        self.single_rank = SingleRank(program, callers, OneRank(program, catalog), self.single_process)

    def verdict(self, question: Question) -> Verdict:
        """What becomes of a finding, by what runs its function."""
        with Separately(self._program) as read:
            found = self._verdict(question)
        self._looked |= read.looked
        return found

    def _verdict(self, question: Question) -> Verdict:
        path, code = question.path, question.code
        if not code.startswith(_BETWEEN_RANKS) or self._program.indexes[path].problem is not None:
            return Verdict.KEPT
        target = Target("function", path, question.function or "<module>")
        if code in _LOCAL and self.single_rank.runs(target):
            # A decorator is part of what it decorates: that it runs on one rank may be what the finding says.
            return Verdict.KEPT if code in _OWN and self.single_rank.decorates(target) else Verdict.DROPPED
        if self.single_process.runs(target):
            entries = self.entry_points.programs_of(target).entries
            is_known = all(entry.name == "<module>" or is_test_function(entry) for entry in entries)
            is_own = is_test(Path(path)) or any(entry.path == path for entry in entries)
            return Verdict.DROPPED if is_own and is_known else Verdict.LOWERED
        return Verdict.KEPT

    def rests(self) -> tuple[dict[str, str], frozenset[str]]:
        """What the verdicts given so far rest on: the digests of some files, and the words that no other file has."""
        files = self._texts.read.union(files_of(self._looked, self._program.bits))
        return {path: digest(self._code(path)) for path in sorted(files)}, self._texts.words
