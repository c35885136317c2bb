"""Analyses some files of a program in this process; the facts of functions are kept between calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .rests import note_rests
from .shard import Shard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..analysis.summary.making import Making
    from ..findings.run_rules import RuleRunner
    from ..source.files import SourceFiles
    from .opened import Opened


class Analyser:
    """The analysis of one program, and the rules that are run over it."""

    def __init__(
        self,
        opened: Opened,
        rules: RuleRunner,
        files: SourceFiles,
    ) -> None:
        """Nothing is analysed, and the analysis is not imported, before `analyse` is called."""
        self._opened, self._rules, self._files = opened, rules, files

    def analyse(self, paths: Sequence[str], making: Sequence[Making]) -> Shard:
        """The findings of these files; `making` is where the program makes groups."""
        indexes, view = self._opened.indexes, self._opened.view
        readable = [path for path in paths if indexes[path].problem is None]
        analysis = self._opened.analysed().about(readable)
        analysis.making = making
        broken = [(path, problem) for path in paths if (problem := indexes[path].problem) is not None]
        checked = self._rules.check(analysis, broken, self._opened.project.asked)
        followed = self._opened.project.followed
        # A place in a package is not the program's to change.
        aside = frozenset(followed.files if followed is not None else ())
        found = [finding for finding in checked.findings if finding.path not in aside]
        shard = Shard(found, checked.errors, dict.fromkeys((path for path, _ in broken), 0))
        shard.unsettled = analysis.unsettled
        if view.is_kept:
            note_rests(shard, analysis, view, self._files.written)
        shard.looked |= {path: shard.looked.get(path, 0) for path in readable}
        return shard
