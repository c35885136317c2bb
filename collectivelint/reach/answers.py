"""What is known about the functions that findings are in, and which files and words it rests on."""

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
    """A function, and the code of a rule that has found something in it."""

    path: str
    function: str
    code: str

    @classmethod
    def about(cls, finding: Finding) -> Question:
        """The question that a finding asks: whether such a thing can be in its function."""
        return cls(finding.path, finding.function, finding.code)


@dataclass(frozen=True, slots=True)
class Answers:
    """Verdicts, and what they rest on.

    `files`: the digests of the code of some files. `words`: no other file of the program has one of them in its code.
    `commands`: a digest of what names the commands of the project.
    """

    verdicts: Mapping[Question, Verdict] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    words: frozenset[str] = frozenset()
    commands: str = ""

    def hold(self, changed: Iterable[str], code: Callable[[str], bytes], commands: str) -> bool:
        """Whether they are still true after some files have changed; `code` gives what is in those now."""
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
