"""Adopting collectivelint in code that has findings already: baselines, and comments that silence existing findings."""

from __future__ import annotations

import json
import os
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..finding import UNREADABLE
from ..findings import baseline
from ..printable import printable
from ..registry import discover
from ..settings.selection import is_selected
from ..source.discover import project_root
from ..source.paths import shown
from .messages import error as complain
from .messages import warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine import Linter
    from ..finding import Finding
    from ..findings.result import Result


class Baselines:
    """The baselines of one run: the one that was named, or for each file the one that its configuration names."""

    def __init__(self, linter: Linter, targets: Sequence[Path], named: Path | None) -> None:
        """`named` is the baseline given on the command line; it applies to all files."""
        self._linter, self._targets, self._named = linter, targets, named
        self._asked: list[str] | None = None
        #: Files and folders that could not be read: nothing is known of what they have.
        self._unreadable: list[Path] = []
        #: By folder of a baseline: the files of this run, as its entries name them.
        self._checked: dict[Path, set[str]] = {}

    def without_known(self, result: Result) -> tuple[Result, bool]:
        """The result without known findings, and whether a baseline was unusable; warns of stale entries."""
        if self._named is None and not self._linter.resolver.names("baseline"):
            return result, False
        self._leave_unreadable(result)
        new: list[Finding] = []
        below: list[Finding] = []
        failed = False
        hidden = self._by_file(result.hidden)
        for file, findings in self._by_file(result.findings).items():
            if file is None:
                new += findings
                below += hidden.get(file, [])
                continue
            try:
                known = baseline.read(file)
            except baseline.BaselineError as error:
                complain(error)
                new += findings
                below += hidden.get(file, [])
                failed = True
                continue
            base = str(file.parent.resolve())
            compared = baseline.compare(findings, known, self._linter.line, base)
            new += compared.new
            # An entry is in use also where its finding is not sure enough to be shown.
            rest = baseline.compare(hidden.get(file, []), Counter(dict(compared.unused)), self._linter.line, base)
            below += rest.new
            if not result.incomplete:
                self._report_unused(file, [entry for entry in rest.unused if self._is_checked(entry[0], file)])
        shown_, hidden_ = (sorted(some, key=lambda finding: finding.order) for some in (new, below))
        return replace(result, findings=shown_, hidden=hidden_), failed

    def write(self, result: Result) -> bool:
        """Write all findings to their baselines, and print how to use them; returns whether it failed.

        An incomplete run writes nothing: the findings that it missed would be lost from the baselines.
        """
        if result.incomplete:
            complain(f"no baseline was written: {result.incomplete}")
            return True
        self._leave_unreadable(result)
        failed = False
        grouped, hidden = self._by_file(result.findings), self._by_file(result.hidden)
        without = grouped.get(None, [])
        files = {file: findings for file, findings in grouped.items() if file is not None}
        if without or not files:
            files[Path(baseline.DEFAULT)] = [*files.get(Path(baseline.DEFAULT), []), *without]
        for file, findings in files.items():
            try:
                count = baseline.write(
                    file,
                    findings,
                    self._linter.line,
                    self._kept(file, hidden.get(file, [])),
                    follow=self._named is not None,
                )
            except baseline.BaselineError as error:
                complain(error)
                failed = True
                continue
            click.echo(f"Wrote {count} finding{'s' * (count != 1)} to {printable(shown(file))}.")
            click.echo(printable(self._use(file)))
        return failed

    def _use(self, file: Path) -> str:
        """The command that uses a baseline from now on."""
        settings = self._linter.resolver.settings(self._targets[0])
        if self._named is None and settings.baseline:
            return "The configuration names this baseline: later runs report only findings that are not in it."
        folder = settings.root if settings.file is not None else project_root(self._targets[0]) or Path.cwd()
        name = settings.file.name if settings.file is not None else "pyproject.toml"
        table = "at the top of" if name == "collectivelint.toml" else "under [tool.collectivelint] in"
        relative = os.path.relpath(file.resolve(), folder.resolve()).replace(os.sep, "/")
        return (
            f"`--baseline {shlex.quote(shown(file))}` hides these findings in one run. To hide them in every run, write this "
            f"{table} {name}:\nbaseline = {json.dumps(relative, ensure_ascii=False)}"
        )

    def _by_file(self, findings: Sequence[Finding]) -> dict[Path | None, list[Finding]]:
        """The findings by baseline (None: without one); the baseline of every checked file has an entry."""
        if self._named is not None:
            return {self._named: list(findings)}
        found: dict[Path | None, list[Finding]] = {}
        for path in [*map(str, self._targets), *self._paths()]:
            found.setdefault(self._of(path), [])
        for finding in findings:
            found.setdefault(self._of(finding.path), []).append(finding)
        return found

    def _of(self, path: str) -> Path | None:
        settings = self._linter.resolver.settings(Path(path))
        return settings.root / settings.baseline if settings.baseline else None

    def _paths(self) -> list[str]:
        if self._asked is None:
            self._asked = self._linter.paths(self._targets)
        return self._asked

    def _leave_unreadable(self, result: Result) -> None:
        paths = [finding.path for finding in result.findings if finding.code == UNREADABLE]
        self._unreadable = [
            Path(spelling) for path in paths for spelling in (os.path.realpath(path), os.path.abspath(path))
        ]

    def _kept(self, file: Path, hidden: Sequence[Finding]) -> Counter[baseline.Key]:
        """The entries of a baseline that this run did not check, and those of findings below the shown confidence."""
        try:
            known = baseline.read(file)
        except baseline.BaselineError:
            return Counter()
        base = str(file.parent.resolve())
        below = Counter(baseline.key(finding, self._linter.line, base) for finding in hidden) & known
        return below | Counter({entry: count for entry, count in known.items() if not self._is_checked(entry, file)})

    def _is_checked(self, entry: baseline.Key, file: Path) -> bool:
        """Whether this run would have reported the finding of an entry if it still existed."""
        code, path, _, _ = entry
        base = file.parent.resolve()
        place = base / path
        rule = discover().get(code)
        if rule is not None and not is_selected(self._linter.resolver.settings(place), rule.RULE):
            return False
        if any(path == place or path in place.parents for path in self._unreadable):
            return False
        if base not in self._checked:
            self._checked[base] = {baseline.relative(asked, str(base)) for asked in self._paths()}
        if path in self._checked[base]:
            return True
        # A file that is gone was checked where its folder was.
        return not place.exists() and any(target.resolve() in place.parents for target in self._targets)

    def _report_unused(self, file: Path, unused: list[tuple[baseline.Key, int]]) -> None:
        for (code, path, function, text), count in unused:
            where = f"{path} {function}".rstrip()
            times = f" ({count} times)" if count > 1 else ""
            warning(f"{shown(file)}: {code} in {where} is no longer found{times}: {text}")
        if unused:
            warning("`--write-baseline` removes these entries")


def add_ignores(findings: Sequence[Finding], linter: Linter, reason: str, targets: Sequence[Path]) -> tuple[int, bool]:
    """Add an ignore comment to the line of each finding; returns how many are silenced, and whether any file failed."""
    from ..fixes.apply import FixError, fixed, write
    from ..fixes.ignores import with_ignores
    from ..fixes.links import outside

    silenced, failed = 0, False
    paths = list(dict.fromkeys(finding.path for finding in findings if finding.code != UNREADABLE))
    left_alone = outside(paths, targets)
    for message in left_alone.values():
        warning(message)
    for path in paths:
        if path in left_alone:
            continue
        some = [finding for finding in findings if finding.path == path and finding.code != UNREADABLE]
        source = linter.source(path)
        edits, done = with_ignores(source, some, reason)
        try:
            if edits:
                write(Path(path), source, fixed(source, edits))
        except FixError as error:
            complain(error)
            failed = True
            continue
        silenced += done
        left = len(some) - done
        if left:
            warning(
                f"{path}: {left} of {len(some)} finding{'s' * (len(some) != 1)} cannot be silenced by a comment on the line"
            )
    return silenced, failed
