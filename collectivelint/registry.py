"""All rules: the modules of `collectivelint.rules`, and those that other distributions register."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import TYPE_CHECKING, Any

from .plugins import load

if TYPE_CHECKING:
    from .rule import RuleModule
    from .rule_id import Rule


@cache
def _registered() -> tuple[dict[str, RuleModule], dict[str, str], tuple[str, ...]]:
    """All rules by code, the distribution of each rule of a plugin by code, and a message for each broken plugin."""
    package = importlib.import_module("collectivelint.rules")
    modules: list[Any] = [
        importlib.import_module(f"{package.__name__}.{module.name}")
        for module in pkgutil.iter_modules(package.__path__)
        if not module.ispkg
    ]
    ours: dict[str, RuleModule] = {module.RULE.code: module for module in modules if hasattr(module, "RULE")}
    plugins = load(ours)
    origins = {module.RULE.code: distribution for module, distribution in plugins.modules}
    found = ours | {module.RULE.code: module for module, _ in plugins.modules}
    return dict(sorted(found.items())), origins, plugins.problems


def discover() -> dict[str, RuleModule]:
    """The modules of all rules by code."""
    return _registered()[0]


def rules() -> list[Rule]:
    """All rules, by code."""
    return [module.RULE for module in discover().values()]


def origin(code: str) -> str:
    """The distribution that a rule comes from; "" for a rule of collectivelint itself."""
    return _registered()[1].get(code, "")


def problems() -> tuple[str, ...]:
    """A message for each plugin that cannot be used."""
    return _registered()[2]
