"""Configuration: the settings of a file, and which rules run under them."""

from __future__ import annotations

from .model import DEFAULT_EXCLUDE, FILES, Settings, SettingsError, is_argument
from .resolver import Resolver
from .selection import known_selectors

__all__ = [
    "DEFAULT_EXCLUDE",
    "FILES",
    "Resolver",
    "Settings",
    "SettingsError",
    "is_argument",
    "known_selectors",
]
