"""Analysing some files of a program in this process: facts of functions are kept from one call to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..program.project import configured
from .rests import note_rests
from .shard import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..analysis.program import Analysis
    from ..analysis.summary.making import Making
    from ..findings.run_rules import RuleRunner
    from ..program.index import Indexes
    from ..program.project import Project
    from ..program.resolver import Program
    from ..settings.resolver import Resolver
    from ..source.files import SourceFiles
    from .plan import CacheView


class Analyser:
    """The analysis of one program, and the rules that are run over it."""

    def __init__(
        self,
        project: Project,
        program: Program,
        indexes: Indexes,
        resolver: Resolver,
        rules: RuleRunner,
        view: CacheView,
        files: SourceFiles,
    ) -> None:
        """Nothing is analysed before `analyse` is called, and the analysis is not imported."""
        self._view, self._files = view, files
        self._project, self._program, self._indexes = project, program, indexes
        self._resolver, self._rules = resolver, rules
        #: The facts of all functions that this process has interpreted.
        self.analysis: Analysis | None = None

    def analyse(self, paths: Sequence[str], making: Sequence[Making]) -> Shard:
        """The findings of these files; `making` is where the program makes groups."""
        from ..analysis.program import Analysis

        readable = [path for path in paths if self._indexes[path].problem is None]
        if self.analysis is None:
            annotations = configured(self._indexes, self._resolver)
            self.analysis = Analysis(self._program, self._project.catalog, (), annotations)
            self.analysis.making = making
        analysis = self.analysis.about(readable)
        broken = [(path, problem) for path in paths if (problem := self._indexes[path].problem) is not None]
        checked = self._rules.check(analysis, broken)
        shard = Shard(checked.findings, checked.errors, dict.fromkeys((path for path, _ in broken), 0))
        shard.unsettled = analysis.unsettled
        if self._view.is_kept:
            note_rests(shard, analysis, self._view, self._files.written)
        shard.looked |= {path: shard.looked.get(path, 0) for path in readable}
        return shard
