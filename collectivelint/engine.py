"""The pipeline: paths in, findings out. Every step is a module of its own; this is the order they run in."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from .catalog import model as catalog
from .finding import UNREADABLE, Finding, Location
from .findings import suppress
from .findings.excerpt import excerpt
from .findings.publish import published, trail
from .incremental import pool as workers
from .incremental.collector import paused
from .incremental.plan import Memory, Shard
from .incremental.rests import note_rests
from .plugins import checked, interrupts
from .program.index import FileIndex, Indexes, index_module
from .program.resolver import Program
from .program.target import Target
from .rule import Findings, FixContext, matches
from .rule import discover as discover_rules
from .rule import origin as rule_origin
from .rule import problems as rule_problems
from .settings import SettingsError
from .source.annotations import annotated_lines
from .source.discover import discover, forget, project_roots
from .source.parse import parse
from .source.patterns import spec
from .source.text import Source, UnreadableError, read

# Not imported here but where it is needed: the analysis and the lowering. Where nothing has changed since the last run
# they are not, and importing them takes as long as everything else.

if TYPE_CHECKING:
    import ast
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .analysis.program import Analysis
    from .analysis.summary.model import ApiCall, Making
    from .finding import Fix
    from .findings.anchor import Anchored
    from .fixes.chains import Plan
    from .ir.nodes import Function, Span
    from .rule import Report, Rule, RuleModule
    from .settings import Resolver, Settings
    from .source.annotations import Annotation

#: Deep expressions are walked recursively; the default limit of 1,000 is too low for generated code.
_RECURSION: Final = 20_000
#: In so many pieces each process does its part of the files; who is done early takes some from the others.
_PIECES: Final = 8
#: Statements with a body: a comment on their last line belongs to what stands there.
_COMPOUND: Final = re.compile(r"(async|class|def|elif|for|if|match|try|while|with)\b")


@dataclass(slots=True)
class Result:
    """`findings` in order; `errors` are internal failures: each names the rule or function it happened in."""

    findings: list[Finding] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    #: How many files were asked for, and how many had to be analysed: those, or others around them, had changed.
    files: int = 0
    analysed: int = field(default=0, compare=False)
    #: How many of the files a process that ended has left behind, and why the findings are not all there are; nothing for
    #: a whole run. Who keeps findings (a baseline) or takes their absence for a result has to ask.
    missed: int = 0
    incomplete: str = ""
    #: What the user should know of the run, and is no failure.
    notices: list[str] = field(default_factory=list, compare=False)
    #: How many functions that call each other still changed when their iteration was given up.
    unsettled: int = field(default=0, compare=False)


#: Told how many steps are done, and of how many.
Progress: TypeAlias = "Callable[[int, int], None]"


def _unseen(done: int, total: int) -> None:
    """Nobody watches."""


class Linter:
    """One run over a set of files. `texts` overrides the content of files, as an editor's unsaved buffers do."""

    def __init__(
        self,
        resolver: Resolver,
        texts: Mapping[str, Source] | None = None,
        *,
        cache_folder: Path | None = None,
        jobs: int = 1,
        progress: Progress = _unseen,
        fixing: bool = False,
    ) -> None:
        """`resolver` finds the settings of each file. Without `cache_folder` nothing is remembered between runs.

        `fixing`: the fixes will be written to the files, and are none that were remembered.
        """
        self._fixing = fixing
        self.resolver = resolver
        self._cache_folder = cache_folder
        self._jobs = jobs
        self._progress = progress
        self._texts = {path: source.encode(source.text) for path, source in (texts or {}).items()}
        self._sources: dict[str, Source] = dict(texts or {})
        self._ignores: dict[str, list[suppress.Ignore]] = {}
        self._lowered: dict[str, Mapping[str, Function]] = {}
        self._failures: list[str] = []
        #: What is known of functions, for all files that this process looks at.
        self._analysis: Analysis | None = None
        self._catalog = catalog.load()

    # ------------------------------------------------------------------------------------------------------- input

    def run(self, paths: Sequence[Path]) -> Result:
        """Lint files and folders."""
        with paused():
            return self._run(paths)

    def _run(self, paths: Sequence[Path]) -> Result:
        self._analysis = None
        forget()
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION))
        given = discover(paths, self.resolver)
        unreadable = [(shown(path), error) for path, error in given.unreadable]
        asked = [shown(path) for path in given.files]
        roots = project_roots(paths)
        every = [*asked, *self._around(roots, set(asked))]
        self._catalog = self._catalog_of(every)
        below = [str(root) for root in roots] or [str(path) for path in paths]
        folder = None if unreadable else self._cache_folder
        memory = Memory(folder, asked, every, below, self.resolver, self._catalog, self._texts, fixing=self._fixing)
        indexes = Indexes(every, lambda path: memory.index(path) or self._index(path))
        program = Program(
            indexes, self._lower, self._catalog.modules, self._catalog.names, lambda: memory.bases(indexes)
        )
        pending = memory.pending(program, indexes)
        shard = Shard()
        analysed: list[str] = []
        while pending:
            analysed += pending
            try:
                self._analyse(program, indexes, pending, memory, shard)
            except workers.WorkerError as error:
                # What the pieces that were finished have found is true.
                shard.errors.append(str(error))
                break
            pending = memory.following(shard)
        if analysed:
            memory.keep(shard, analysed, indexes)
        findings = memory.findings()
        if unreadable:
            from .analysis.program import Analysis

            findings += self._check(Analysis(program, self._catalog, ()), unreadable).findings
        missed = len(analysed) - len(shard.looked)
        reason = _incomplete(shard.errors, missed, len(asked))
        found, errors, unsettled = published(findings), shard.errors, len(shard.unsettled)
        return Result(found, errors, len(asked), len(analysed), missed, reason, memory.notices, unsettled)

    def _program(self, paths: Sequence[Path]) -> tuple[Program, list[str], list[str]]:
        """The program around these files, which they are, and all files of it; nothing is analysed yet."""
        sys.setrecursionlimit(max(sys.getrecursionlimit(), _RECURSION))
        asked = [shown(path) for path in discover(paths, self.resolver).files]
        roots = project_roots(paths)
        every = [*asked, *self._around(roots, set(asked))]
        self._catalog = self._catalog_of(every)
        below = [str(root) for root in roots] or [str(path) for path in paths]
        memory = Memory(self._cache_folder, asked, every, below, self.resolver, self._catalog, self._texts)
        indexes = Indexes(every, lambda path: memory.index(path) or self._index(path))
        known = self._catalog.modules, self._catalog.names
        return Program(indexes, self._lower, *known, lambda: memory.bases(indexes)), asked, every

    def paths(self, paths: Sequence[Path]) -> list[str]:
        """The files that are meant by files and folders, as findings name them."""
        return [shown(path) for path in discover(paths, self.resolver).files]

    def analysis(self, paths: Sequence[Path]) -> Analysis:
        """What is known of the functions of these files, each looked at when somebody asks."""
        from .analysis.program import Analysis

        if self._analysis is not None:
            # Linting them has left it behind.
            indexes = self._analysis.program.indexes
            named = [path for path in map(shown, paths) if path in indexes and indexes[path].problem is None]
            return self._analysis.about(named)
        program, asked, every = self._program(paths)
        readable = [path for path in asked if program.indexes[path].problem is None]
        analysis = Analysis(program, self._catalog, readable, self._configured(every))
        analysis.explaining = True
        return analysis

    def explain(self, paths: Sequence[Path], qualname: str) -> tuple[list[str], list[str], list[str]]:
        """What is known of each function of this qualified name, or its end; without any, names that are similar.

        And what is wrong with the files that were not looked at.
        """
        import difflib

        from .report.analysis import explain

        analysis = self.analysis(paths)
        texts: list[str] = []
        others: set[str] = set()
        for path in analysis.paths:
            for name, function in sorted(analysis.program.functions(path).items(), key=lambda item: item[1].span):
                if name != qualname and not name.endswith(f".{qualname}"):
                    if not name.endswith(">"):
                        others.add(name)
                elif (facts := analysis.facts(Target("function", path, function.qualname))) is not None:
                    texts.append(explain(facts, self.text))
        broken = [
            f"{path}:{problem.line}:{problem.column}: {problem.message}"
            for path in self.paths(paths)
            if (problem := analysis.program.indexes[path].problem) is not None
        ]
        return texts, [] if texts else difflib.get_close_matches(qualname, others, 3), broken

    def chains(self, paths: Sequence[Path]) -> Plan:
        """How a group can be handed down to the collectives of these files that have none in reach."""
        from .analysis.program import Analysis
        from .fixes.chains import Chains
        from .fixes.links import outside
        from .fixes.ungrouped import missing

        program, asked, every = self._program(paths)
        readable = [path for path in every if program.indexes[path].problem is None]
        analysis = Analysis(program, self._catalog, readable, self._configured(every))
        analysis.explaining = True
        wanted = set(asked)
        calls = [call for call in missing(analysis) if call.function.path in wanted and self._is_wanted(call)]
        expression = self.resolver.settings(paths[0]).group
        # A caller may lie anywhere in the project, but no link is followed out of it.
        locked = outside(readable, [*paths, *project_roots(paths)])
        plan = Chains(analysis, self.source, self._anchor_in, expression, locked).plan(calls)
        problems = [(path, problem) for path in asked if (problem := program.indexes[path].problem) is not None]
        folders = [(shown(path), error) for path, error in discover(paths, self.resolver).unreadable]
        plan.unreadable = sorted([*problems, *folders], key=lambda item: item[0])
        return plan

    def _is_wanted(self, call: ApiCall) -> bool:
        """Is CL101 on in its file, and not silenced on its line?"""
        settings, rule = self.resolver.settings(Path(call.function.path)), discover_rules()["CL101"].RULE
        lines = [call.span.line, call.span.end_line, call.statement.line]
        comments = self._comments(call.function.path)
        off = not settings.runs(rule) or _ignored_in(call.function.path, settings, rule)
        return not off and not suppress.silenced(comments, rule.code, rule.name, lines)

    def _analyse(self, program: Program, indexes: Indexes, pending: list[str], memory: Memory, whole: Shard) -> None:
        """Add the findings of the files that have to be looked at to `whole`, by this process or by several."""
        jobs = workers.usable(self._jobs, len(pending))
        done = 0
        if jobs == 1:
            for done, path in enumerate(pending, 1):  # where the files are counted on from
                # Its functions are all needed soon: lower them while the tree is there, parsing is the larger half.
                indexes.get(path)
                self._progress(done, 2 * len(pending))
            made = memory.making(program)
            for piece in workers.split(pending, _PIECES):
                whole.add(self._shard(program, indexes, memory, piece, made))
                done += len(piece)
                self._progress(done, 2 * len(pending))
            return
        if not memory.anew:
            # The processes cannot ask the cache themselves.
            indexes.preload(index for path in list(indexes) if (index := memory.index(path)) is not None)
        read = list(indexes) if memory.anew else pending
        parts = workers.split(read, jobs)
        wanted = set(pending)

        def index_all(part: list[str]) -> list[FileIndex]:
            return [indexes[path] for path in part]

        def make(given: tuple[list[str], list[FileIndex]]) -> dict[str, list[Making]]:
            part, others = given
            indexes.preload(others)
            return memory.made_in(program, part)

        def analyse(given: tuple[list[str], Sequence[Making]]) -> Shard:
            return self._shard(program, indexes, memory, *given)

        crew = workers.Crew((index_all, make, analyse), jobs)
        try:
            found: list[list[FileIndex]] = [[] for _ in parts]
            for member, some in crew.share(
                index_all, [workers.split(part, _PIECES) for part in parts], help_others=False
            ):
                found[member] += some
                done += len(some)
                self._progress(done, len(read) + len(pending))
            indexes.preload(index for some in found for index in some)
            if memory.anew:
                others = [[index for some in found if some is not mine for index in some] for mine in found]
                memory.learn(crew.ask(make, list(zip(parts, others, strict=True))))
            making = memory.making(program)
            pieces = [workers.split([path for path in part if path in wanted], _PIECES) for part in parts]
            for _, shard in crew.share(analyse, [[(piece, making) for piece in some] for some in pieces]):
                whole.add(shard)
                done += len(shard.looked)
                self._progress(done, len(read) + len(pending))
        except BaseException:
            crew.stop()
            raise
        crew.close()

    def _shard(
        self, program: Program, indexes: Indexes, memory: Memory, paths: list[str], making: Sequence[Making]
    ) -> Shard:
        from .analysis.program import Analysis

        readable = [path for path in paths if indexes[path].problem is None]
        if self._analysis is None:
            self._analysis = Analysis(program, self._catalog, (), self._configured(indexes))
            self._analysis.making = making
        analysis = self._analysis.about(readable)
        broken = [(path, problem) for path in paths if (problem := indexes[path].problem) is not None]
        shard = self._check(analysis, broken)
        shard.unsettled = analysis.unsettled
        shard.looked = {path: 0 for path, _ in broken}
        if memory.is_kept:
            note_rests(shard, analysis, memory, self.written)
        shard.looked |= {path: shard.looked.get(path, 0) for path in readable}
        return shard

    def written(self, path: str, span: Span) -> str:
        """What is written at a span, as it is."""
        source = self.source(path)
        start = source.offset(span.line, source.column(span.line, span.column))
        return source.text[start : source.offset(span.end_line, source.column(span.end_line, span.end_column))]

    def _catalog_of(self, paths: Iterable[str]) -> catalog.Catalog:
        """The catalogue, with the files that the configuration of these files names; raise SettingsError."""
        folders = dict.fromkeys(os.path.dirname(path) for path in paths)
        files = dict.fromkeys(file for folder in folders for file in self.resolver.settings_in(folder).catalog_files)
        # Now that all of it has been read: under half of a configuration, findings would be others than were asked for.
        if self.resolver.problems:
            raise SettingsError(self.resolver.problems)
        return catalog.load(tuple(files))

    def _configured(self, paths: Iterable[str]) -> dict[str, Annotation]:
        """What the configuration of these files says of names."""
        found: dict[str, Annotation] = {}
        for folder in dict.fromkeys(os.path.dirname(path) for path in paths):
            found |= self.resolver.settings_in(folder).catalog
        return found

    def _around(self, roots: Sequence[Path], have: set[str]) -> Iterator[str]:
        """The other files of the projects at `roots`: their functions may be called from here."""
        for root in roots:
            for path in discover([root], self.resolver).files:
                name = shown(path)
                if name not in have:
                    yield name

    def source(self, path: str) -> Source:
        """The text of a file, read once."""
        if path not in self._sources:
            self._sources[path] = read(Path(path), path)
        return self._sources[path]

    def line(self, path: str, number: int) -> str:
        """Text of one line of a file; empty where the file cannot be read."""
        try:
            return self.source(path).line(number)
        except UnreadableError:
            return ""

    def _index(self, path: str) -> FileIndex:
        try:
            tree = parse(self.source(path))
            self._lowered[path] = self._functions(tree, path)
        except UnreadableError as error:
            return FileIndex.unreadable(path, error)
        return index_module(tree, path, annotated=bool(annotated_lines(self.source(path))))

    def _lower(self, path: str) -> Mapping[str, Function]:
        found = self._lowered.pop(path, None)
        return self._functions(parse(self.source(path)), path) if found is None else found

    def _functions(self, tree: ast.Module, path: str) -> Mapping[str, Function]:
        from .ir.lower import TooDeepError, lower_module

        source = self.source(path)
        try:
            return lower_module(tree, path, annotated_lines(source))
        except TooDeepError as error:
            column = source.column(error.line, error.column) + 1
            raise UnreadableError("cannot be analysed: it is nested too deeply", error.line, column) from None

    # ------------------------------------------------------------------------------------------------------ output

    def _check(self, analysis: Analysis, unreadable: Sequence[tuple[str, UnreadableError]]) -> Shard:
        result = Shard()
        asked = Findings(analysis, tuple(unreadable), self.text)
        broken: set[str] = set()
        asked.unused_ignores = lambda: self._unused(analysis, broken)
        modules = sorted(discover_rules().values(), key=lambda module: (module.RULE.last, module.RULE.code))
        for module in modules:
            foreign = rule_origin(module.RULE.code)
            with interrupts() as interrupted:
                try:
                    for report in checked(module.check(asked)) if foreign else module.check(asked):
                        finding = self._finding(module, report)
                        if finding is not None:
                            result.findings.append(finding)
                except BaseException as error:  # one rule's failure must not lose the findings of the others
                    if not isinstance(error, (Exception, SystemExit)) and (not foreign or interrupted()):
                        raise
                    broken |= {module.RULE.code, module.RULE.name}
                    result.errors.append(_internal(f"rule {module.RULE.code}{f' of {foreign}' * bool(foreign)}", error))
        for function, failure in analysis.failures:
            result.errors.append(_internal(f"function {function.qualname} of {function.path}", failure))
        analysis.failures.clear()
        result.errors += [*self._failures, *rule_problems()]
        self._failures = []
        return result

    def _finding(self, module: RuleModule, report: Report) -> Finding | None:
        """Anchor a report, unless the rule is off here or a comment silences it."""
        rule = module.RULE
        settings = self.resolver.settings(Path(report.path))
        # A file that is not checked is no clean one, whatever is selected.
        if rule.code != UNREADABLE and (not settings.runs(rule) or _ignored_in(report.path, settings, rule)):
            return None
        source = self._sources.get(report.path)
        if source is None:
            # Nothing to anchor on: the file could not be read at all.
            place = Location(report.span.line, report.span.column + 1)
            return Finding(rule.code, rule.name, report.message, report.severity, report.path, place, place, "")
        lines = [report.span.line, report.span.end_line, report.statement.line]
        if not _COMPOUND.match(source.line(report.statement.line).lstrip()):
            lines.append(report.statement.end_line)
        if rule.code != UNREADABLE and suppress.silenced(self._comments(report.path), rule.code, rule.name, lines):
            return None
        start, end = _locations(source, report)
        fix = self._fix(rule, report, FixContext(source, settings, lambda span: self._anchor(source, span)))
        fix = settings.allowed(rule, fix) if fix is not None else None
        return Finding(
            code=rule.code,
            name=rule.name,
            message=report.message,
            severity=report.severity,
            path=report.path,
            location=start,
            end_location=end,
            function="" if report.function == "<module>" else report.function,
            trail=trail(report.trail),
            help=report.help,
            fix=fix,
            root=report.root,
            derived=report.derived,
        )

    def _fix(self, rule: Rule, report: Report, context: FixContext) -> Fix | None:
        try:
            return report.fix(context) if report.fix is not None else None
        except Exception as error:  # the finding stands, also without its fix
            self._failures.append(_internal(f"the fix of {rule.code} at {report.path}:{report.span.line}", error))
            return None

    @staticmethod
    def _anchor(source: Source, span: Span) -> Anchored | None:
        # Imported here: libcst costs more to import than linting a clean project does.
        from .findings.anchor import anchor

        return anchor(source, span)

    def _anchor_in(self, path: str, span: Span) -> Anchored | None:
        return self._anchor(self.source(path), span)

    def _comments(self, path: str) -> list[suppress.Ignore]:
        if path not in self._ignores:
            self._ignores[path] = suppress.ignores(self.source(path))
        return self._ignores[path]

    def _unused(
        self, analysis: Analysis, broken: set[str]
    ) -> Iterator[tuple[Source, suppress.Ignore, tuple[str, ...]]]:
        """Our suppression comments that silenced nothing, with the codes that were not needed.

        What a rule in `broken`, a plugin that is not there, or a function that is not analysed would have reported is not
        known: its comments may be needed.
        """
        rules = {module.RULE.code: module.RULE for module in discover_rules().values()}
        names = {name for rule in rules.values() for name in (rule.code, rule.name)}
        failed = {function.path for function, _ in analysis.failures}
        for path in analysis.paths:
            if path in failed:
                continue
            settings = self.resolver.settings(Path(path))
            # A comment may silence CL001 itself, so those that do are looked at last.
            for ignore in self._comments(path):
                if not ignore.ours or "CL001" in ignore.codes:
                    continue
                off = {
                    name
                    for rule in rules.values()
                    if not settings.runs(rule) or _ignored_in(path, settings, rule)
                    for name in (rule.code, rule.name)
                }
                if not ignore.codes:
                    if not ignore.used and not broken and not rule_problems():
                        yield self.source(path), ignore, ()
                    continue
                unknown = {code for code in ignore.codes if code not in names} if rule_problems() else set()
                needed = off | broken | unknown | ignore.used
                unused = tuple(code for code in ignore.codes if code not in needed)
                if unused:
                    yield self.source(path), ignore, unused

    def text(self, path: str, span: Span) -> str:
        """What is written at a span, on one line and shortened where it is long."""
        source = self.source(path)
        start = source.offset(span.line, source.column(span.line, span.column))
        end = source.offset(span.end_line, source.column(span.end_line, span.end_column))
        return excerpt(source.text[start:end])


def _incomplete(errors: Sequence[str], missed: int, files: int) -> str:
    """Why the findings of a run are not all there are, or nothing."""
    if missed:
        return f"{missed} of {files} file{'s' * (files != 1)} {'were' if missed != 1 else 'was'} not analysed"
    return "not everything was analysed" if errors else ""


def shown(path: Path) -> str:
    """A path as reports show it: relative to the current folder where it lies below."""
    folder, name = os.path.split(path)
    relative = _relative(folder or os.curdir, os.getcwd())
    if relative.startswith(os.pardir):
        return str(path)
    return name if relative == os.curdir else os.path.join(relative, name)


@cache
def _relative(folder: str, _: str) -> str:
    """A folder as seen from the current one, which is the second argument so that changing it is noticed."""
    return os.path.relpath(folder)


def _locations(source: Source, report: Report) -> tuple[Location, Location]:
    span = report.span
    if (span.line, span.column) == (span.end_line, span.end_column):
        place = Location(span.line, span.column + 1)
        return place, place
    start = Location(span.line, source.column(span.line, span.column) + 1)
    return start, Location(span.end_line, source.column(span.end_line, span.end_column) + 1)


def _ignored_in(path: str, settings: Settings, rule: Rule) -> bool:
    """Does `per-file-ignores` switch the rule off for this file?"""
    if not settings.per_file_ignores:
        return False
    relative = os.path.relpath(os.path.abspath(path), settings.root)
    return any(
        any(matches(code, rule) for code in codes) and spec((pattern,)).match_file(relative)
        for pattern, codes in settings.per_file_ignores.items()
    )


def _internal(where: str, error: BaseException) -> str:
    import traceback

    if isinstance(error, RecursionError):
        return f"{where} is not analysed: it is nested too deeply"
    frame = traceback.extract_tb(error.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"internal error in {where}: {type(error).__name__}: {error} ({place}); please report it"
