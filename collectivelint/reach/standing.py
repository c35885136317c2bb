"""Decides whether findings are kept, from the programs that run their functions and the number of ranks."""

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
    """Which functions run on one rank, and which run in single-process programs only."""

    def __init__(
        self,
        program: Program,
        catalog: Catalog,
        holds: Mapping[str, Holds],
        code: Callable[[str], bytes],
        configurations: Iterable[str] = (),
    ) -> None:
        """`holds`: the kind of program that the findings of each rule apply to, by rule code.

        `code` gives the code of a file; `configurations` are the texts that define console scripts.
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
        """The verdict on a finding, from the programs that run its function."""
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
        """Whether no known program that runs a function imports all files that the calls of a finding lead through."""
        programs = self.entry_points.programs_of(target) if question.files else None
        if programs is None or programs.others or not programs.entries:
            return False
        reached = [self.entry_points.imports.files(entry.path) for entry in programs.entries]
        return not any(files.issuperset(question.files) for files in reached)

    @property
    def fleeting(self) -> frozenset[Question]:
        """The questions whose verdicts depend on files outside of the program, which may change before the next run."""
        return frozenset(self._fleeting)

    def rests(self) -> tuple[dict[str, str], frozenset[str]]:
        """What the verdicts so far depend on: the digests of some files, and words that no other file contains."""
        files = self._texts.read.union(files_of(self._looked, self._program.bits))
        return {path: digest(self._code(path)) for path in sorted(files)}, self._texts.words
