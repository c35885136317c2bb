"""Linting what is open in an editor: unsaved texts over the files on disk, one program for each project."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..engine import Linter
from ..finding import UNREADABLE, Finding, Location
from ..findings import baseline
from ..incremental.opened import Held
from ..incremental.store import FOLDER
from ..settings import Resolver, SettingsError
from ..source.decode import read
from ..source.discover import project_root
from ..source.paths import shown
from ..source.text import Source, UnreadableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..findings.confidence import Confidence

#: Unsafe fixes too: the user sees one before choosing it. Files of installed packages are opened to be read.
_OVERRIDES: Final[Mapping[str, Any]] = {"unsafe_fixes": True, "force_exclude": True}
#: Projects of which the programs are held in memory.
_MOST_PROJECTS: Final = 2
#: By root, the project that was linted last at the end.
_HELD: dict[Path, Held] = {}


@dataclass(slots=True)
class Linted:
    """Findings by path as the linter shows it, what went wrong, and the text that the findings are about."""

    findings: dict[str, list[Finding]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    #: By path: what has linted it, and knows more than it has reported.
    linters: dict[Path, Linter] = field(default_factory=dict)

    def line(self, path: str, number: int) -> str:
        """A line of a file that was linted, or that a trail leads to."""
        if path not in self.sources:
            try:
                self.sources[path] = read(Path(path), path)
            except UnreadableError:
                return ""
        return self.sources[path].line(number)


def lint(texts: Mapping[Path, str], min_confidence: Confidence | None = None) -> Linted:
    """Lint the open files with their texts; `min_confidence` None means that of their projects' configuration."""
    found = Linted()
    overrides = _OVERRIDES if min_confidence is None else {**_OVERRIDES, "min_confidence": min_confidence}
    projects: defaultdict[Path, list[Path]] = defaultdict(list)
    for path in texts:
        projects[project_root(path) or path.parent].append(path)
    for root, paths in projects.items():
        resolver = Resolver(overrides)
        linter = _linter(resolver, root, texts, _held(root))
        try:
            result = linter.run(paths)
        except SettingsError as error:
            found.problems += error.problems
            found.findings |= {shown(path): [_not_linted(shown(path), error)] for path in paths}
            found.sources |= {shown(path): _source(path, texts[path]) for path in paths}
            continue
        found.problems += [*result.errors, *result.notices]
        findings = without_known(result.findings, linter, resolver, paths[0], found.problems)
        for path in paths:
            name = shown(path)
            found.linters[path] = linter
            found.sources[name] = _source(path, texts[path])
            found.findings[name] = [finding for finding in findings if finding.path == name]
    return found


def describe(linted: Linted, path: Path, line: int, column: int) -> str:
    """The analysis of the call at a line (from 1) and character column (from 0), as Markdown."""
    from .hover import describe

    linter, name = linted.linters[path], shown(path)
    if linter.is_outdated:
        return ""
    byte_column = len(linter.source(name).line(line)[:column].encode())
    return describe(linter.analysis([path]), name, line, byte_column, linter.text)


def _not_linted(path: str, error: SettingsError) -> Finding:
    """What stands at the top of a file whose configuration cannot be used: without it, the file would look clean."""
    message = f"nothing was linted, the configuration cannot be used: {error}"
    return Finding(UNREADABLE, "unreadable-file", message, "error", path, Location(1, 1), Location(1, 1), "")


def _held(root: Path) -> Held:
    """The held programs of a project; only the projects linted last are kept."""
    held = _HELD[root] = _HELD.pop(root, Held())
    for other in list(_HELD)[:-_MOST_PROJECTS]:
        del _HELD[other]
    return held


def _linter(resolver: Resolver, root: Path, texts: Mapping[Path, str], held: Held) -> Linter:
    unsaved: dict[str, Source] = {}
    for path, text in texts.items():
        source = _source(path, text)
        if _on_disk(path) != text:
            unsaved[source.path] = source
    return Linter(resolver, unsaved, cache_folder=root / FOLDER, fixing=True, held=held)


def _source(path: Path, text: str) -> Source:
    name = shown(path)
    try:
        return replace(read(path, name), text=text)
    except UnreadableError:
        return Source(name, text, "utf-8", bom=False)


def _on_disk(path: Path) -> str | None:
    try:
        return read(path, str(path)).text
    except UnreadableError:
        return None


def without_known(
    findings: list[Finding], linter: Linter, resolver: Resolver, path: Path, problems: list[str]
) -> list[Finding]:
    """The findings that are not in the project's baseline."""
    settings = resolver.settings(path)
    if not settings.baseline:
        return findings
    file = settings.root / settings.baseline
    try:
        known = baseline.read(file)
    except baseline.BaselineError as error:
        problems.append(str(error))
        return findings
    return list(baseline.compare(findings, known, linter.line, str(file.parent.resolve())).new)
