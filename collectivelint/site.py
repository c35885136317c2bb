"""The place both the linter and the tracer talk about."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """Where an operation stands in the source: `path` as it was given, `line` counted from 1."""

    path: str
    line: int
    function: str
    op: str
