"""What the linter says: findings, their trail and their fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from .findings.confidence import Confidence

#: The rule for files that are not checked. It is always on, never silenced, and in no baseline.
UNREADABLE: Final = "CL000"
#: The rule for collectives without a group: selected by itself it lists them all, whatever its confidence in each.
MISSING_GROUP: Final = "CL101"

Severity: TypeAlias = Literal["error", "warning"]
#: "safe": behaviour is unchanged or provably what was meant; "unsafe": wants a look; "display": advice, never applied.
Applicability: TypeAlias = Literal["safe", "unsafe", "display"]


@dataclass(frozen=True, slots=True, order=True)
class Location:
    """Line and character column, both from 1."""

    row: int
    column: int


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a finding's trail, from what makes ranks differ to the collective they miss.

    `kind`: "source", "condition", "call", "collective" or "note".
    """

    path: str
    line: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace the text from `start` to `end` (character offsets in the file) by `content`."""

    start: int
    end: int
    content: str
    location: Location
    end_location: Location


@dataclass(frozen=True, slots=True)
class Fix:
    """Edits that belong together; `caution` is what to check before they are applied on request."""

    applicability: Applicability
    message: str
    edits: tuple[Edit, ...]
    caution: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem at one place.

    `root` is shared by findings with one cause, of which only the nearest is shown; `derived` ones are further away.
    `seen_from` is the file whose analysis gives more detail on a finding than that of its own file: it replaces that
    finding, and is dropped without it. `api` is the catalogue name of the call, if the confidence depends on other
    parts of the program.
    """

    code: str
    name: str
    message: str
    severity: Severity
    path: str
    location: Location
    end_location: Location
    function: str
    trail: tuple[Step, ...] = ()
    help: str = ""
    fix: Fix | None = None
    root: str = ""
    derived: bool = False
    confidence: Confidence = Confidence.HIGH
    seen_from: str = ""
    api: str = ""

    @property
    def order(self) -> tuple[str, Location, str]:
        """Findings are shown by file, position and code."""
        return (self.path, self.location, self.code)
