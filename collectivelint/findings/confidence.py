"""How confident a finding is, from the evidence in the program itself."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


class Confidence(IntEnum):
    """The levels of confidence, lowest first."""

    #: It needs an unusual environment, or rests on a convention.
    LOW = 1
    #: It needs an event that happens in practice: a race, an exception on one rank, a clock.
    MEDIUM = 2
    #: The program shows that ranks differ, and nothing in it makes up for it.
    HIGH = 3

    @property
    def word(self) -> str:
        """`high`, `medium` or `low`, as options and reports name it."""
        return self.name.lower()


#: What options and settings may name, the most sure first.
CONFIDENCES: Final = tuple(degree.word for degree in sorted(Confidence, reverse=True))


def confidence_of(word: str) -> Confidence:
    """The level with this word, one of `CONFIDENCES`."""
    return Confidence[word.upper()]
