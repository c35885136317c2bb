"""Cached answers about the functions that contain findings, with the files and words that they depend on."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from typing import TYPE_CHECKING

from .texts import has_word

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..finding import Finding


class Verdict(Enum):
    """What becomes of a finding."""

    KEPT = "kept"
    #: Of low confidence at most.
    LOWERED = "lowered"
    #: It cannot be.
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Question:
    """The part of a finding that depends on which programs run its function."""

    path: str
    function: str
    code: str
    api: str = ""
    lines: tuple[int, ...] = ()
    files: tuple[str, ...] = ()

    @classmethod
    def about(cls, finding: Finding) -> Question:
        """The question that a finding raises about its function."""
        steps = [step for step in finding.trail if step.path == finding.path]
        lines = [step.line for step in steps if step.kind == "condition"]
        led = {step.path for step in finding.trail if step.kind in ("call", "collective")} - {finding.path}
        return cls(finding.path, finding.function, finding.code, finding.api, tuple(lines), tuple(sorted(led)))


@dataclass(frozen=True, slots=True)
class Answers:
    """Verdicts, and what they depend on.

    `files`: the digests of the code of some files. `words`: none of them occurs in the code of any other file of the
    program. `commands`: a digest of the texts that define console scripts. `fleeting`: questions whose verdicts must
    not be cached.
    """

    verdicts: Mapping[Question, Verdict] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    commands: str = ""
    fleeting: frozenset[Question] = frozenset()

    @property
    def lasting(self) -> Answers:
        """The answers that may be cached."""
        if not self.fleeting:
            return self
        kept = {question: verdict for question, verdict in self.verdicts.items() if question not in self.fleeting}
        return Answers(kept, self.files, self.words, self.commands)

    def hold(self, changed: Iterable[str], code: Callable[[str], bytes], commands: str) -> bool:
        """Whether they are still valid after some files have changed; `code` gives the current code of a file."""
        if commands != self.commands:
            return False
        words = [word.encode(errors="surrogateescape") for word in self.words]
        for path in changed:
            now = code(path)
            if path in self.files:
                if self.files[path] != digest(now):
                    return False
            elif any(word in now and has_word(now, word) for word in words):
                return False
        return True


def digest(code: bytes) -> str:
    """A digest of some code."""
    return blake2b(code, digest_size=8).hexdigest()
