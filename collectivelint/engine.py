"""The pipeline: paths in, findings out. Every step is a module of its own; this is the order they run in."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from .findings.comments import Comments
from .findings.publish import Publisher, apart
from .findings.result import Result
from .findings.run_rules import RuleRunner
from .incremental.analyser import Analyser
from .incremental.collector import paused
from .incremental.opened import Opened
from .incremental.plan import CacheView
from .incremental.schedule import Schedule
from .incremental.shard import Shard
from .program.loader import Loader
from .program.project import configurations, configured, open_project
from .reach.answers import Answers, digest
from .reach.judging import answered, judged
from .reach.texts import without_comments
from .reading import NOTEBOOK
from .settings.selection import least_confidence
from .source.discover import discover, forget
from .source.files import SourceFiles
from .source.paths import shown
from .source.text import UnreadableError

# Not imported here but where they are needed: the analysis and the lowering. Where nothing has changed since the last run
# they are not, and importing them takes as long as everything else.

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .analysis.program import Analysis
    from .finding import Finding
    from .findings.confidence import Confidence
    from .fixes.chains import Plan
    from .incremental.opened import Held
    from .incremental.schedule import Progress
    from .ir.nodes import Span
    from .report.analysis import Explained
    from .settings import Resolver
    from .source.text import Source

__all__ = ["Linter", "Result", "shown"]

#: Deep expressions are walked recursively; the default limit of 1,000 is too low for generated code.
_RECURSION: Final = 20_000


def _ignore_progress(done: int, total: int) -> None:
    """The progress of a run that shows none."""


class Linter:
    """One run over a set of files."""

    def __init__(
        self,
        resolver: Resolver,
        texts: Mapping[str, Source] | None = None,
        *,
        cache_folder: Path | None = None,
        jobs: int = 1,
        progress: Progress = _ignore_progress,
        fixing: bool = False,
        held: Held | None = None,
        follow: float | None = None,
        alias: tuple[str, str] = ("", ""),
    ) -> None:
        """`resolver` finds the settings of each file; `texts` override the content of files, such as unsaved buffers.

        Without `cache_folder` nothing is kept between runs. `fixing`: fixes will be written, so cached ones are not
        used. `held` are the programs of earlier runs over the same project in this process. `follow`: time limit in
        seconds for following calls into installed packages. `alias`: a temporary folder that contains the files, and
        its name in the cache.
        """
        self.resolver = resolver
        self._cache_folder = cache_folder
        self._jobs, self._progress, self._fixing = jobs, progress, fixing
        self._held, self._follow, self._alias = held, follow, alias
        self._files = SourceFiles(texts)
        self._loader = Loader(self._files)
        self._comments = Comments(self._files)
        publisher = Publisher(resolver, self._files, self._comments)
        self._rules = RuleRunner(resolver, self._files, self._comments, publisher)
        #: The program of the last run, if its facts are known or held.
        self._opened: Opened | None = None
        self._view: CacheView | None = None

    # ------------------------------------------------------------------------------------------------------- linting

    def run(self, paths: Sequence[Path]) -> Result:
        """Lint files and folders."""
        with paused(holds=bool(self._held)):
            return self._run(paths)

    def _run(self, paths: Sequence[Path]) -> Result:
        self._opened = None
        forget()
        opened = self._open(paths, fixing=self._fixing)
        if self._held is not None and opened.view.is_kept:
            opened = self._held.take(opened)
        project, view, indexes, program = opened.project, opened.view, opened.indexes, opened.program
        stale = view.stale_files(program, indexes)
        shard = Shard()
        analysed: list[str] = []
        analyser = Analyser(opened, self._rules, self._files)
        while stale:
            analysed += stale
            found = Schedule(program, indexes, view, stale, self._jobs, self._progress).run(analyser.analyse)
            shard.add(found)
            if len(found.looked) < len(stale):
                # A process ended and left files behind.
                break
            stale = view.following(shard)
        if analysed:
            shard.asked = opened.all_asked(shard.asked)
            view.take(shard, analysed)
        findings = view.findings()
        if project.unreadable:
            from .analysis.program import Analysis

            findings += self._rules.check(Analysis(program, project.catalog, ()), project.unreadable).findings
        missed = len(analysed) - len(shard.looked)
        # Asked several times for each finding, of which a project may have thousands, in few files.
        settings = cache(lambda path: self.resolver.settings(Path(path)))

        def least(finding: Finding) -> Confidence:
            """The confidence that a finding needs to be shown."""
            return least_confidence(settings(finding.path), finding.code, finding.name)

        shown_, hidden = apart(findings, least)
        answers = self._answered(shown_, opened)
        sure = judged(shown_, answers)
        shown_ = [finding for finding in sure if finding.confidence >= least(finding)]
        lowered = [finding for finding in sure if finding.confidence < least(finding)]
        hidden = sorted([*hidden, *lowered], key=lambda finding: finding.order) if lowered else hidden
        view.save(shard, analysed, indexes, answers)
        if opened.analysis is not None or self._held is not None:
            self._opened, self._view = opened, view
        if self._held is not None and view.is_kept and not shard.errors:
            self._held.hold(opened)
        return Result(
            shown_,
            hidden,
            shard.errors,
            files=len(project.asked),
            analysed=len(analysed),
            missed=missed,
            incomplete=_incomplete(shard.errors, missed, len(project.asked)),
            notices=view.notices,
            followed=project.followed.notice if project.followed is not None else "",
            unsettled=len(shard.unsettled),
            has_groups=not hidden or view.has_groups(program),
        )

    def _answered(self, findings: list[Finding], opened: Opened) -> Answers:
        """The verdicts on findings, from the programs that run their functions."""
        if not findings:
            return Answers()
        texts = configurations(opened.project.roots)
        code = cache(lambda path: without_comments(self._searched(path)))
        known = opened.view.answers(code, digest("\0".join(texts).encode(errors="surrogateescape")))
        return answered(findings, known, opened.own_program(), opened.project.catalog, code, texts)

    def _searched(self, path: str) -> bytes:
        """The content of a file in which words are searched; for a notebook the code of its cells."""
        if not path.endswith(NOTEBOOK):
            return self._files.content(path)
        try:
            return self._files.source(path).text.encode(errors="replace")
        except UnreadableError:
            return self._files.content(path)

    def _open(self, paths: Sequence[Path], *, fixing: bool = False) -> Opened:
        """The program around these files; nothing of it is analysed yet."""
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION))
        project = open_project(paths, self.resolver, self._follow)
        # What cannot be followed now may be there in the next run, with other files behind it.
        # Of installed packages only what is needed is read, and which that is, is only known once it is analysed.
        folder = None if project.unreadable or project.followed is not None else self._cache_folder
        view = CacheView(folder, project, self.resolver, self._files.overridden, fixing=fixing, alias=self._alias)
        return Opened(project, self.resolver, view, self._loader)

    # ------------------------------------------------------------------------------------------------------ analysis

    @property
    def is_outdated(self) -> bool:
        """Whether a later run has taken over the program of this one, with other texts."""
        return self._opened is not None and self._opened.view is not self._view

    def analysis(self, paths: Sequence[Path]) -> Analysis:
        """The analysis of these files; each function is interpreted when its facts are first asked for."""
        if self._opened is not None:
            # That of the last run is reused.
            indexes = self._opened.indexes
            named = [path for path in map(shown, paths) if path in indexes and indexes[path].problem is None]
            return self._opened.analysed().about(named)
        opened = self._open(paths)
        return self._explaining(opened, opened.project.asked)

    def explain(self, paths: Sequence[Path], qualname: str) -> Explained:
        """The analysis of each function of this qualified name as text."""
        from .report.analysis import explain_named

        return explain_named(self.analysis(paths), qualname, self.paths(paths), self.text)

    def chains(self, paths: Sequence[Path]) -> Plan:
        """How to pass a group through the calls to those collectives of these files that have none in scope."""
        from .fixes.thread_groups import thread_groups

        opened = self._open(paths)
        # A caller may lie anywhere in the project.
        analysis = self._explaining(opened, opened.project.files)
        return thread_groups(analysis, opened.project, paths, self.resolver, self._files, self._comments)

    def _explaining(self, opened: Opened, paths: Sequence[str]) -> Analysis:
        """An analysis of the readable ones of these files that records what explanations and chains need."""
        from .analysis.program import Analysis

        readable = [path for path in paths if opened.program.indexes[path].problem is None]
        annotations = configured(opened.project.files, self.resolver)
        analysis = Analysis(opened.program, opened.project.catalog, readable, annotations)
        analysis.explaining = True
        return analysis

    # ------------------------------------------------------------------------------------------------------- sources

    def paths(self, paths: Sequence[Path]) -> list[str]:
        """The files behind files and folders, as findings name them."""
        return [shown(path) for path in discover(paths, self.resolver).files]

    def source(self, path: str) -> Source:
        """The text of a file; raise UnreadableError."""
        return self._files.source(path)

    def line(self, path: str, number: int) -> str:
        """Text of one line of a file; empty where the file cannot be read."""
        return self._files.line(path, number)

    def text(self, path: str, span: Span) -> str:
        """The source at a span, on one line and shortened where it is long."""
        return self._files.text(path, span)


def _incomplete(errors: Sequence[str], missed: int, files: int) -> str:
    """Why the findings of a run are not complete; empty for a complete run."""
    if missed:
        return f"{missed} of {files} file{'s' * (files != 1)} {'were' if missed != 1 else 'was'} not analysed"
    return "not everything was analysed" if errors else ""
