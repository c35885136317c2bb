"""What the tools return: plain data, from which the SDK makes their output schemas (it takes the slots of a class for defaults)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One line of a trail: `place` is `path:line`."""

    place: str
    text: str


@dataclass(frozen=True)
class Edit:
    """A change of the finding's file. `applicability`: "safe", "unsafe" (read it first) or "display" (changes what is done).

    `hunks` is a unified diff without its two header lines and without context; empty where no edit can be made.
    """

    applicability: str
    message: str
    hunks: str


@dataclass(frozen=True)
class Finding:
    """A finding: `place` is `path:line:column`, `trail` leads from what makes ranks differ to the call."""

    code: str
    name: str
    confidence: str
    place: str
    function: str
    message: str
    trail: list[Step]
    help: str
    fix: Edit | None


@dataclass(frozen=True)
class Findings:
    """The result of linting. `total` also counts findings beyond the limit; `problems` say why some may be missing."""

    summary: str
    total: int
    findings: list[Finding]
    problems: list[str]


@dataclass(frozen=True)
class RuleText:
    """A rule: `text` is its page, as Markdown."""

    code: str
    name: str
    summary: str
    default: bool
    fix: str
    text: str


@dataclass(frozen=True)
class AnalysisText:
    """The analysis of each function with a given name; `unreadable` are files that could not be analysed."""

    functions: list[str]
    unreadable: list[str]


@dataclass(frozen=True)
class Unread:
    """A file or folder of a checkpoint that was not read."""

    where: str
    why: str


@dataclass(frozen=True)
class Problem:
    """What is wrong with a checkpoint ("error") or worth a look ("note"); `where` is a tensor or a file."""

    code: str
    name: str
    severity: str
    where: str
    text: str


@dataclass(frozen=True)
class CheckpointReport:
    """`sound`: no error in what was read; `complete`: all of it was read. `total` counts the problems beyond the limit too."""

    sound: bool
    complete: bool
    layout: str | None
    world_size: int | None
    tensors: int
    bytes: int
    files: int
    files_read: int
    one_save: str
    unread: list[Unread]
    total: int
    problems: list[Problem]


@dataclass(frozen=True)
class Side:
    """What some ranks do. `call` is the collective they are in or made last, at `place`; `stack` is innermost first.

    `signature` is what must match between ranks: reduce_op, shape and dtype of tensors.
    """

    ranks: list[int]
    state: str
    call: str | None
    signature: dict[str, Any]
    place: str | None
    stack: list[str]


@dataclass(frozen=True)
class Verdict:
    """The divergence of a job. `rule` is the rule of the linter that explains the pattern, if one does."""

    job: str
    verdict: str
    what: str
    group: list[int]
    sequence: int
    rule: str | None
    notes: list[str]
    sides: list[Side]


@dataclass(frozen=True)
class TraceReport:
    """The result for a traced run. `jobs` counts its jobs and attempts; `problems` say why it may be incomplete."""

    run: str
    diverged: bool
    jobs: int
    exit_code: int | None
    verdicts: list[Verdict]
    problems: list[str]
