"""The result of a run: findings, internal errors, and whether it covers all files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..finding import Finding


@dataclass(slots=True)
class Result:
    """`findings` in order; `errors` are internal failures: each names the rule or function it happened in."""

    findings: list[Finding] = field(default_factory=list)
    #: Those that are less sure than the settings ask for, in order: they are counted, and neither shown nor fixed.
    hidden: list[Finding] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    #: Number of files that were asked for, and of those that were analysed because they or their dependencies changed.
    files: int = 0
    analysed: int = field(default=0, compare=False)
    #: Number of files that a worker process left behind when it ended, and why the findings are not complete; empty for a
    #: complete run. A caller that writes findings down (a baseline) or reads their absence as a result has to check it.
    missed: int = 0
    incomplete: str = ""
    #: Messages about the run that are no failures.
    notices: list[str] = field(default_factory=list, compare=False)
    #: What was followed of installed packages.
    followed: str = field(default="", compare=False)
    #: How many functions that call each other still changed when their iteration was given up.
    unsettled: int = field(default=0, compare=False)
    #: Whether any file of the program makes groups of some ranks.
    has_groups: bool = field(default=True, compare=False)
