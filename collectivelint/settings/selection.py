"""The rules that settings select, the fixes they allow, and selectors that match no rule."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from ..finding import MISSING_GROUP
from ..findings.confidence import Confidence
from ..selectors import is_selector, matches, suggestion
from ..source.patterns import spec
from .model import SELECTORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..finding import Fix
    from ..rule_id import Rule
    from .model import Settings


def is_selected(settings: Settings, rule: Rule) -> bool:
    """Whether a rule is enabled. As in ruff, the more specific of `select` and `ignore` wins; some need `preview`."""
    if rule.preview and not settings.preview:
        return False
    chosen = _weight(rule, (*settings.select, *settings.extend_select))
    if not settings.select and rule.default:
        chosen = max(chosen, 0)
    return chosen > _weight(rule, (*settings.ignore, *settings.extend_ignore))


def _is_ignored_in(path: str, settings: Settings, rule: Rule) -> bool:
    """Whether `per-file-ignores` switches the rule off for this file."""
    if not settings.per_file_ignores:
        return False
    relative = os.path.relpath(os.path.abspath(path), settings.root)
    return any(
        any(matches(code, rule) for code in codes) and spec((pattern,)).match_file(relative)
        for pattern, codes in settings.per_file_ignores.items()
    )


def runs_in(path: str, settings: Settings, rule: Rule) -> bool:
    """Whether a rule is enabled for this file."""
    return is_selected(settings, rule) and not _is_ignored_in(path, settings, rule)


def least_confidence(settings: Settings, code: str, name: str) -> Confidence:
    """The lowest confidence at which a finding of a rule is shown."""
    if code == MISSING_GROUP and settings.min_confidence <= Confidence.MEDIUM and _lists_all(settings, code, name):
        return Confidence.LOW
    return settings.min_confidence


def _lists_all(settings: Settings, code: str, name: str) -> bool:
    """Whether all collectives without a group are wanted: the rule is selected, or a group to write is configured."""
    named = not {code, name}.isdisjoint((*settings.select, *settings.extend_select))
    return named or settings.explicit_groups == "always" or settings.explicit_world or bool(settings.group)


def allowed_fix(settings: Settings, rule: Rule, fix: Fix) -> Fix | None:
    """The fix with the applicability that the settings give it; None where they do not allow fixes of the rule."""
    if _weight(rule, settings.fixable) <= _weight(rule, settings.unfixable):
        return None
    if fix.applicability == "safe" and _weight(rule, settings.extend_unsafe_fixes) >= 0:
        return replace(fix, applicability="unsafe")
    safer = _weight(rule, settings.extend_safe_fixes) > _weight(rule, settings.extend_unsafe_fixes)
    return replace(fix, applicability="safe") if fix.applicability == "unsafe" and safer else fix


def _weight(rule: Rule, selectors: tuple[str, ...]) -> int:
    """Specificity of the most specific selector that matches this rule; -1 if none does."""
    return max((_specific(item, rule) for item in selectors if matches(item, rule)), default=-1)


def _specific(selector: str, rule: Rule) -> int:
    """`ALL` is the least specific selector, then shorter prefixes; a name is as specific as a full code."""
    return 0 if selector == "ALL" else len(selector) if rule.code.startswith(selector) else len(rule.code)


def known_selectors(settings: Settings) -> tuple[Settings, list[str]]:
    """The settings without selectors that match no rule, and a message for each of those."""
    wrong = list(unknown_selectors(settings))
    if not wrong:
        return settings, []
    unknown = {selector for _, selector, _ in wrong}

    def known(selectors: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(selector for selector in selectors if selector not in unknown)

    checked = replace(
        settings,
        **{name: known(getattr(settings, name)) for name in SELECTORS},  # type: ignore[arg-type]  # lists of strings
        per_file_ignores={pattern: known(codes) for pattern, codes in settings.per_file_ignores.items()},
    )
    return checked, [f"unknown rule `{selector}`{suggestion}" for _, selector, suggestion in wrong]


def unknown_selectors(settings: Settings) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Each selector that matches no rule: the keys it is listed under, itself, and a suggestion."""
    from ..registry import rules

    given: list[tuple[tuple[str, ...], tuple[str, ...]]] = [
        ((name.replace("_", "-"),), getattr(settings, name)) for name in SELECTORS
    ]
    given += [(("per-file-ignores", pattern), codes) for pattern, codes in settings.per_file_ignores.items()]
    for keys, selectors in given:
        for selector in selectors:
            # Rules are imported only for a selector that may be none of them.
            if selector != "ALL" and not is_selector(selector, rules()):
                yield keys, selector, suggestion(selector, rules())
