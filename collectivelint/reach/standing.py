"""What becomes of findings once it is known which programs run the functions they are in, and on how many ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..program.dependencies import Separately, files_of
from ..program.target import Target
from ..source.discover import is_test
from .answers import Verdict, digest
from .callers import Callers
from .configured import Configured
from .entry_points import EntryPoints, console_scripts, is_test_function
from .import_reach import ImportReach
from .libraries import Libraries
from .one_rank import OneRank
from .openness import Openness
from .single_process import SingleProcess
from .single_rank import SingleRank
from .texts import Texts
from .unset_arguments import UnsetArguments
from .unset_flags import UnsetFlags
from .uses import Uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..catalog.model import Catalog
    from ..program.resolver import Program
    from ..rule_id import Holds
    from .answers import Question

#: Rules whose findings are true only of programs of several ranks. The other ones are as true of a program of one process: a
#: script that converts a checkpoint is where the number of its parts is guessed, and what it has read is trusted.
_BETWEEN_RANKS: Final = ("of groups", "between ranks", "where ranks differ", "where ranks part")
#: Those of them about what differs between ranks that all get there: where one rank does, nothing differs.
_LOCAL: Final = ("where ranks differ", "where ranks part")


class Reach:
    """Which functions one rank runs, and which only programs of one process do."""

    def __init__(
        self,
        program: Program,
        catalog: Catalog,
        holds: Mapping[str, Holds],
        code: Callable[[str], bytes],
        configurations: Iterable[str] = (),
    ) -> None:
        """`holds`: what the findings of each rule are true of, by its code.

        `code` gives the code of a file; `configurations` are the texts that name the commands of the project.
        """
        self._texts = Texts(program.indexes, code)
        libraries = Libraries(program, catalog, self._texts)
        imports = ImportReach(program, self._texts)
        callers = Callers(program, self._texts, Openness(program, catalog, self._texts), libraries, imports)
        self._program, self._holds, self._code = program, holds, code
        self._looked = 0
        self.entry_points = EntryPoints(program, callers, imports, console_scripts(program, configurations))
        self.single_process = SingleProcess(program, catalog, callers, self.entry_points, libraries)
        self.single_rank = SingleRank(program, callers, OneRank(program, catalog), self.single_process)
        self._configured = Configured(program.indexes)
        self._uses = Uses(program, catalog, self._texts, self.entry_points, self._configured)
        self._flags = UnsetFlags(program, self._texts, UnsetArguments(program, callers))
        self._fleeting: set[Question] = set()

    def verdict(self, question: Question) -> Verdict:
        """What becomes of a finding, by what runs its function."""
        self._configured.was_asked = False
        with Separately(self._program) as read:
            found = self._verdict(question)
        self._looked |= read.looked
        if self._configured.was_asked:
            self._fleeting.add(question)
        return found

    def _verdict(self, question: Question) -> Verdict:
        path, holds = question.path, self._holds.get(question.code, "anywhere")
        is_between = holds in _BETWEEN_RANKS
        if not (question.api or is_between) or self._program.indexes[path].problem is not None:
            return Verdict.KEPT
        target = Target("function", path, question.function or "<module>")
        kept = Verdict.LOWERED if question.api and self._uses.leave_open(target, question) else Verdict.KEPT
        if not is_between:
            return kept
        if self._is_beyond(target, question) or self._flags.close(target, question.lines):
            kept = Verdict.LOWERED
        if holds in _LOCAL and self.single_rank.runs(target):
            # A decorator is part of what it decorates: that it runs on one rank may be what the finding says.
            is_own = holds == "where ranks part" and self.single_rank.decorates(target)
            return kept if is_own else Verdict.DROPPED
        if self.single_process.runs(target):
            entries = self.entry_points.programs_of(target).entries
            is_known = all(entry.name == "<module>" or is_test_function(entry) for entry in entries)
            is_own = is_test(path) or any(entry.path == path for entry in entries)
            return Verdict.DROPPED if is_own and is_known else Verdict.LOWERED
        return Verdict.LOWERED if self.single_process.may_run(target) else kept

    def _is_beyond(self, target: Target, question: Question) -> bool:
        """Whether no program that runs a function has the files in which the calls of a finding end, as far as is known."""
        programs = self.entry_points.programs_of(target) if question.files else None
        if programs is None or programs.others or not programs.entries:
            return False
        reached = [self.entry_points.imports.files(entry.path) for entry in programs.entries]
        return not any(files.issuperset(question.files) for files in reached)

    @property
    def fleeting(self) -> frozenset[Question]:
        """The questions whose verdicts rest on files beside the program, too: they may be others in the next run."""
        return frozenset(self._fleeting)

    def rests(self) -> tuple[dict[str, str], frozenset[str]]:
        """What the verdicts given so far rest on: the digests of some files, and the words that no other file has."""
        files = self._texts.read.union(files_of(self._looked, self._program.bits))
        return {path: digest(self._code(path)) for path in sorted(files)}, self._texts.words
