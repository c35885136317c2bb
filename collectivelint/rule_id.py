"""The identity of a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rule:
    """Code, name and one line of summary of a rule."""

    code: str
    name: str
    summary: str
    #: Whether it runs without being selected.
    default: bool = True
    #: Applicability of the fixes that it offers.
    fix: Literal["", "safe", "unsafe", "safe, unsafe"] = ""
    #: Whether it runs after all other rules.
    last: bool = False
