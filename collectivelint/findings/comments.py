"""The suppression comments of a run: which findings they silence, and which of them silenced nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..registry import discover, problems
from ..settings.selection import runs_in
from . import suppress

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ..analysis.program import Analysis
    from ..rule_id import Rule
    from ..settings.resolver import Resolver
    from ..source.files import SourceFiles
    from ..source.text import Source
    from .suppress import Ignore


class Comments:
    """The comments of each file. A file is tokenized only for a finding in it, or for a comment of ours."""

    def __init__(self, files: SourceFiles) -> None:
        """`files` has the texts."""
        self._files = files
        self._ignores: dict[str, list[Ignore]] = {}

    def silenced(self, path: str, rule: Rule, lines: Collection[int]) -> bool:
        """Whether a finding of a rule on these lines is silenced; marks the comment that does it as used."""
        return suppress.silenced(self._of(path), rule.code, rule.name, lines)

    def unused(
        self, analysis: Analysis, resolver: Resolver, broken: Collection[str]
    ) -> Iterator[tuple[Source, Ignore, tuple[str, ...]]]:
        """The collectivelint comments that silenced nothing, with the codes that were not needed.

        Comments for rules in `broken`, for rules of missing plugins, and in files with functions that could not be
        analysed are left out, since they may be needed.
        """
        rules = [module.RULE for module in discover().values()]
        names = {name for rule in rules for name in (rule.code, rule.name)}
        failed = {function.path for function, _ in analysis.failures}
        for path in analysis.paths:
            source = self._files.source(path)
            if path in failed or not suppress.has_own(source):
                continue
            settings = resolver.settings(Path(path))
            off = {name for rule in rules if not runs_in(path, settings, rule) for name in (rule.code, rule.name)}
            # A comment may silence CL001 itself: the rule reports those last.
            for ignore in self._of(path):
                if not ignore.ours or "CL001" in ignore.codes:
                    continue
                if not ignore.codes:
                    if not ignore.used and not broken and not problems():
                        yield source, ignore, ()
                    continue
                unknown = {code for code in ignore.codes if code not in names} if problems() else set()
                needed = off | set(broken) | unknown | ignore.used
                unused = tuple(code for code in ignore.codes if code not in needed)
                if unused:
                    yield source, ignore, unused

    def _of(self, path: str) -> list[Ignore]:
        if path not in self._ignores:
            self._ignores[path] = suppress.ignores(self._files.source(path))
        return self._ignores[path]
