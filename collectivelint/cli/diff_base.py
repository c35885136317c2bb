"""`--diff-base`: the findings that a change introduces, in the files that it touches and in others."""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..engine import Linter
from ..finding import UNREADABLE
from ..findings import baseline
from ..program.installed import ENVIRONMENTS
from ..settings import Resolver
from ..source.discover import project_roots
from .git import Repository
from .messages import error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ..finding import Finding
    from ..findings.result import Result
    from ..settings import Settings


@dataclass(frozen=True, slots=True)
class Before:
    """The findings at the merge base by their baseline keys, with renamed files under their current names."""

    top: Path
    known: Counter[baseline.Key]
    #: Whether the run over the merge base failed: what is new is not known then.
    failed: bool = False

    def new(self, findings: Sequence[Finding], linter: Linter) -> list[Finding]:
        """The findings that the merge base does not have."""
        return baseline.compare(findings, Counter(self.known), linter.line, str(self.top)).new


class _BaseResolver(Resolver):
    """Applies the current settings to the files of the merge base, which lie in another folder."""

    def __init__(self, resolver: Resolver, top: Path, folder: Path) -> None:
        super().__init__()
        self._now, self._top, self._folder = resolver, top, folder
        self.problems = resolver.problems

    def _of(self, folder: Path) -> Settings:
        known = self._by_folder.get(folder)
        if known is None:
            settings = self._now.settings_in(str(self._top / os.path.relpath(folder, self._folder)))
            # Patterns are relative to the root, which may lie above the repository.
            root = Path(os.path.normpath(self._folder / os.path.relpath(settings.root, self._top)))
            known = self._by_folder[folder] = replace(settings, root=root)
        return known


def before(
    targets: Sequence[Path], resolver: Resolver, cache_folder: Path | None, options: Mapping[str, Any]
) -> Before:
    """Lint the merge base of HEAD and the revision in `options`, in a temporary folder; raise UsageError, SettingsError."""
    repository = Repository.of(targets)
    top = repository.top
    commit = repository.merge_base(options["diff_base"])
    renamed = repository.renamed(commit)
    named = [os.path.relpath(path.resolve(), top) for path in targets]
    cache = None if cache_folder is None else Path(os.path.abspath(cache_folder))
    with tempfile.TemporaryDirectory(prefix="collectivelint-", ignore_cleanup_errors=True) as temporary:
        folder = Path(os.path.realpath(temporary)) / top.name
        # What makes it the root of a project.
        (folder / ".git").mkdir(parents=True)
        repository.write_files(commit, folder)
        if options["follow_installed"] is not None:
            _link_environments(targets, top, folder)
        old = [name for name, now in renamed.items() if _is_below(now, named) and not _is_below(name, named)]
        asked = [Path(name) for name in [*named, *old] if (folder / name).exists()]
        if not asked:
            return Before(top, Counter())
        with _inside(folder):
            alias = (str(folder.parent), f"the merge base of {top}")
            linter = Linter(
                _BaseResolver(resolver, top, folder),
                cache_folder=cache,
                jobs=options["jobs"],
                alias=alias,
                follow=options["follow_installed"],
            )
            result = linter.run(asked)
            # A file that cannot be read is no clean one, also where it could not be read before.
            some = [finding for finding in result.findings if finding.code != UNREADABLE]
            keys = [baseline.key(finding, linter.line, str(folder)) for finding in some]
        if options["verbose"]:
            click.echo(f"merge base: {result.files} files, {result.analysed} analysed", err=True)
        for problem in result.errors:
            error(f"at the merge base {commit[:12]}: {problem}")
    return Before(top, Counter(_now(key, renamed) for key in keys), failed=bool(result.incomplete))


def _link_environments(targets: Sequence[Path], top: Path, folder: Path) -> None:
    """Link the virtual environments of these projects into the temporary folder, so that their packages are found."""
    for root in project_roots(path.resolve() for path in targets):
        for name in ENVIRONMENTS:
            link = folder / os.path.relpath(root, top) / name
            if (root / name).is_dir() and link.parent.is_dir() and not os.path.lexists(link):
                link.symlink_to(root / name)


def only_new(result: Result, new: Sequence[Finding]) -> Result:
    """The result with its new findings only; hidden findings are dropped, since whether they are new is unknown."""
    those = set(map(id, new))
    return replace(result, findings=[finding for finding in result.findings if id(finding) in those], hidden=[])


def _now(key: baseline.Key, renamed: dict[str, str]) -> baseline.Key:
    code, path, function, text = key
    return code, renamed.get(path, path), function, text


def _is_below(path: str, places: Sequence[str]) -> bool:
    return any(place == os.curdir or path == place or path.startswith(f"{place}{os.sep}") for place in places)


@contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Make this the current folder inside the block, so that paths are shown relative to it, the same in every run."""
    here = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(here)
