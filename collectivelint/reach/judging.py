"""Adjusts the confidence of findings to the programs that run their functions, reusing earlier answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..findings.confidence import Confidence
from ..registry import rules
from .answers import Answers, Question, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ..catalog.model import Catalog
    from ..finding import Finding
    from ..program.resolver import Program


def answered(
    findings: Iterable[Finding],
    known: Answers,
    program: Program,
    catalog: Catalog,
    code: Callable[[str], bytes],
    configurations: Sequence[str],
) -> Answers:
    """The answers for these findings: cached ones, and new ones.

    `code` gives the code of a file; `configurations` are the texts that define console scripts.
    """
    questions = dict.fromkeys(map(Question.about, findings))
    new = [question for question in questions if question not in known.verdicts]
    verdicts = {question: known.verdicts[question] for question in questions if question in known.verdicts}
    if not new:
        return replace(known, verdicts=verdicts)
    # Not at the top: where all is known, what looks for it need not be there.
    from .standing import Reach

    holds = {rule.code: rule.holds for rule in rules()}
    reach = Reach(program, catalog, holds, code, configurations)
    verdicts |= {question: reach.verdict(question) for question in new}
    files, words = reach.rests()
    return Answers(verdicts, {**known.files, **files}, known.words | words, known.commands, reach.fleeting)


def judged(findings: Iterable[Finding], answers: Answers) -> list[Finding]:
    """The findings that remain after these answers."""
    found: list[Finding] = []
    for finding in findings:
        verdict = answers.verdicts[Question.about(finding)]
        if verdict is Verdict.KEPT:
            found.append(finding)
        elif verdict is Verdict.LOWERED:
            found.append(replace(finding, confidence=min(finding.confidence, Confidence.LOW)))
    return found
