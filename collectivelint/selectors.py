"""Selectors of rules: `CL201`, `CL2`, `rank-conditional` or `ALL`, on the command line, in settings and in comments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Collection

    from .rule_id import Rule


def matches(selector: str, rule: Rule) -> bool:
    """Whether the selector means this rule."""
    if selector in ("ALL", rule.name, rule.code):
        return True
    return re.fullmatch(r"[A-Z]{2,}\d*", selector) is not None and rule.code.startswith(selector)


def is_selector(selector: str, rules: Collection[Rule]) -> bool:
    """Whether the selector means any of the rules."""
    return selector == "ALL" or any(matches(selector, rule) for rule in rules)


def suggestion(selector: str, rules: Collection[Rule]) -> str:
    """`; did you mean ...?` with the code or name nearest to a misspelt selector, or nothing."""
    return nearest(selector, [name for rule in rules for name in (rule.code, rule.name)])
