"""The identity of a rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

#: What the findings of a rule are true of.
Holds: TypeAlias = Literal[
    # The code as it is written, whatever runs it.
    "anywhere",
    # Programs, those of one process too. A test or a notebook shows it when it runs.
    "in programs",
    # Programs of several ranks, which name their groups; so do notebooks, which have one process until they start others.
    "of groups",
    # Programs of several ranks, by what happens between these.
    "between ranks",
    # Places that several ranks get to, by what differs between them: where one rank alone gets, nothing does.
    "where ranks differ",
    # The same, but what differs may be a condition on ranks: a decorator that lets one rank in may be what is reported.
    "where ranks part",
]


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
    #: What its findings are true of: elsewhere they are less sure, or not reported.
    holds: Holds = "anywhere"
    #: Whether it is new and may still change: it runs with `preview` only.
    preview: bool = False
