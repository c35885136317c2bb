"""The result of analysing some files: findings, and what they depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..finding import Finding
    from .store import Asked, Reads


@dataclass(slots=True)
class Shard:
    """The result of analysing some files: findings, internal errors, and by file what its findings depend on.

    `digests` are those of the facts that other files have read before; `asked` are the names that each file has looked
    up in others; `unsettled` are the facts of recursive functions whose fixed-point iteration was given up.
    """

    findings: list[Finding] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    looked: dict[str, int] = field(default_factory=dict)
    reads: dict[str, Reads] = field(default_factory=dict)
    digests: Reads = field(default_factory=dict)
    asked: dict[str, Asked] = field(default_factory=dict)
    unsettled: frozenset[tuple[str, ...]] = frozenset()

    def add(self, other: Shard) -> None:
        """Take over what another shard found."""
        self.findings += other.findings
        self.errors += [error for error in other.errors if error not in self.errors]
        self.looked |= other.looked
        self.reads |= other.reads
        self.digests |= other.digests
        self.asked = united(self.asked, other.asked)
        # Two processes may have interpreted the same function.
        self.unsettled |= other.unsettled


def united(one: Mapping[str, Asked], other: Mapping[str, Asked]) -> dict[str, Asked]:
    """The union of two records of names that files have looked up in others."""
    found = dict(one)
    for asking, files in other.items():
        known = found.get(asking, {})
        found[asking] = known | {path: known.get(path, set()) | names for path, names in files.items()}
    return found
