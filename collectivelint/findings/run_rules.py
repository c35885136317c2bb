"""Runs the rules over an analysis: if a rule fails, only its own findings are lost."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..finding import UNREADABLE
from ..plugins import checked, interrupts
from ..registry import discover, origin, problems
from ..rule import Findings
from ..settings.selection import is_selected
from .internal import internal_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..analysis.program import Analysis
    from ..finding import Finding
    from ..rule_id import Rule
    from ..settings.model import Settings
    from ..settings.resolver import Resolver
    from ..source.files import SourceFiles
    from ..source.text import UnreadableError
    from .comments import Comments
    from .publish import Publisher


@dataclass(frozen=True, slots=True)
class Checked:
    """The findings of all rules for some files, and internal errors."""

    findings: list[Finding]
    errors: list[str]


@dataclass(frozen=True, slots=True)
class RuleRunner:
    """What the rules and their reports need, for all files of a run."""

    resolver: Resolver
    files: SourceFiles
    comments: Comments
    publisher: Publisher
    #: By folder.
    _settings: dict[str, Settings] = field(default_factory=dict)

    def check(
        self, analysis: Analysis, unreadable: Sequence[tuple[str, UnreadableError]], wanted: Sequence[str] = ()
    ) -> Checked:
        """The findings in the files of an analysis, and for files that could not be read.

        `wanted` are all files whose findings are wanted: the analysis of one file may report a finding in another.
        """
        found: list[Finding] = []
        errors: list[str] = []
        of_fixes: list[str] = []
        asked = Findings(analysis, tuple(unreadable), self.files.text)
        broken: set[str] = set()
        asked.unused_ignores = lambda: self.comments.unused(analysis, self.resolver, broken)
        # Facts are known even where no rule asks for them: what fails is named, and it is noted what findings rest on.
        _ = analysis.functions
        settings = self._settings_of(wanted)
        for module in sorted(discover().values(), key=lambda module: (module.RULE.last, module.RULE.code)):
            rule = module.RULE
            plugin = origin(rule.code)
            if not plugin and not _is_on(rule, settings):
                continue
            with interrupts() as interrupted:
                try:
                    for report in checked(module.check(asked)) if plugin else module.check(asked):
                        finding = self.publisher.finding(rule, report, of_fixes)
                        if finding is not None:
                            found.append(finding)
                except BaseException as error:  # one rule's failure must not lose the findings of the others
                    if not isinstance(error, (Exception, SystemExit)) and (not plugin or interrupted()):
                        raise
                    broken |= {rule.code, rule.name}
                    errors.append(internal_error(f"rule {rule.code}{f' of {plugin}' * bool(plugin)}", error))
        for function, failure in analysis.failures:
            errors.append(internal_error(f"function {function.qualname} of {function.path}", failure))
        analysis.failures.clear()
        return Checked(found, [*errors, *of_fixes, *problems()])

    def _settings_of(self, paths: Sequence[str]) -> list[Settings]:
        """The settings of some files, without duplicates."""
        found: dict[int, Settings] = {}
        for folder in dict.fromkeys(map(os.path.dirname, paths)):
            if folder not in self._settings:
                self._settings[folder] = self.resolver.settings_in(folder)
            found[id(self._settings[folder])] = self._settings[folder]
        return list(found.values())


def _is_on(rule: Rule, settings: Sequence[Settings]) -> bool:
    """Whether any of the settings enables a rule; files that cannot be read are always reported."""
    return rule.code == UNREADABLE or not settings or any(is_selected(some, rule) for some in settings)
