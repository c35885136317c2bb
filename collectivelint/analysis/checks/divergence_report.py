"""What the divergence rules share: which of them a divergence belongs to, and how its trail reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from collectivelint.analysis.domain.causes import LOCAL
from collectivelint.analysis.domain.show import group_words
from collectivelint.analysis.domain.symbol import WORLD
from collectivelint.analysis.domain.value import PLACES
from collectivelint.catalog.operations import SETTING
from collectivelint.findings.conditions import in_words
from collectivelint.rule import Place, Report

if TYPE_CHECKING:
    from collections.abc import Iterator

    from collectivelint.analysis.checks.divergence import Divergence
    from collectivelint.analysis.domain.causes import Cause
    from collectivelint.analysis.effects import Event
    from collectivelint.analysis.summary.facts import FunctionFacts
    from collectivelint.analysis.summary.model import ApiCall
    from collectivelint.finding import Fix, Severity
    from collectivelint.ir.nodes import Span
    from collectivelint.rule import Findings, FixBuilder, FixContext


def divergences_of(findings: Findings, code: str) -> Iterator[tuple[FunctionFacts, Divergence]]:
    """The divergences that rule `code` reports."""
    # Tools that convert a checkpoint look at files and load it, alone: something else has to speak of several ranks.
    explicit = findings.analysis.distributed(explicit=True) if code == "CL208" else set()
    for facts, divergence in findings.analysis.divergences():
        several = not divergence.kinds.isdisjoint(("rank", "no agreement"))
        alone = code == "CL208" and not several and facts.function.path not in explicit
        if _rule(divergence) == code and not alone:
            yield facts, divergence


def group_exclusions(findings: Findings) -> Iterator[tuple[ApiCall, Divergence]]:
    """Collectives without a group that only ranks with a certain position in some group reach, through a call.

    The call and the collective are in one file, so that a finding does not depend on which other files are analysed.
    """
    calls: dict[tuple[str, Span], ApiCall] = {}
    for facts, divergence in divergences_of(findings, "CL201"):
        event = divergence.event
        axes = divergence.guard.varies - {WORLD, *PLACES}
        if (
            divergence.if_sharded
            or not axes
            or event.group is not WORLD
            or not event.chain
            or event.path != facts.function.path
        ):
            continue
        calls = calls or {(call.function.path, call.span): call for call in findings.analysis.calls()}
        found = calls.get((event.path, event.span))
        if found is not None and found.group is None:
            yield found, divergence


def _rule(divergence: Divergence) -> str:
    """The code of the one rule for a divergence: chosen first by what is reached, then how, then why."""
    if divergence.event.kind == "create":
        return "CL105"
    if divergence.where == "order":
        return "CL206"
    if not divergence.kinds.isdisjoint(("exception", "any exception")):
        return "CL204"
    if divergence.event.kind == "implicit":
        return "CL208"
    if divergence.where == "loop" or (divergence.where == "exit" and divergence.kinds == {"loader"}):
        return "CL205"
    if divergence.where == "exit":
        return "CL202"
    return "CL201" if "rank" in divergence.kinds else "CL203"


def group_text(event: Event) -> str:
    """How a message names the group of a collective."""
    plain = event.group is WORLD or all(symbol.kind in _PLAIN for symbol in event.group.walk())
    return group_words(event.group) if plain else "its group"


#: What else the same exit or loop makes ranks miss is listed up to this number of places.
_MOST_FURTHER: Final = 8
#: What a reader finds again in the source.
_PLAIN: Final = frozenset({"parameter", "name", "attribute", "subscript", "constant", "mesh"})


def what_text(divergence: Divergence) -> str:
    """What is reached, and through which call."""
    event = divergence.event
    what = f"`{event.op}`" if event.kind in ("implicit", "create") else f"`{event.op}` on {group_text(event)}"
    if event.operation == SETTING:
        what = f"the assignment of `{event.op}`"
    if not event.chain:
        return what
    return f"`{event.chain[0].callee}` leads to {what}" + (" and more collectives" if divergence.more else "")


def subject_text(divergence: Divergence) -> str:
    """The same as the subject of a sentence."""
    call, leads, rest = what_text(divergence).partition(" leads to ")
    return f"{call}, which leads to {rest}," if leads else call


def clause_text(divergence: Divergence) -> str:
    """The same as a clause: "`barrier` runs on the default group"."""
    what = what_text(divergence)
    return what if divergence.event.chain else what.replace("` on ", "` runs on ", 1)


def condition_text(findings: Findings, divergence: Divergence, *, reached: bool = True) -> str:
    """The condition as it is written, and whether it holds where the collective is reached, or where it is not."""
    return in_words(divergence.guard, findings.text, holds=divergence.holds == reached)


def loop_text(findings: Findings, divergence: Divergence) -> str:
    """The source of the loop whose number of iterations differs."""
    guard = divergence.guard
    if guard.span == divergence.event.place[0]:
        return "the loop inside this call"
    written = findings.text(guard.path, guard.span)
    if guard.symbol.kind == "caught":
        return "a loop"
    return f"the loop over `{written}`" if guard.symbol.kind == "turns" else f"`while {written}`"


def why_text(divergence: Divergence) -> str:
    """The text of the first cause that is not a branch."""
    for cause in divergence.guard.causes:
        if cause.kind != "branch":
            return cause_text(cause)
    return "a value that differs between ranks"


def cause_text(cause: Cause) -> str:
    """A cause in words."""
    if cause.kind == "branch":
        return "set under a condition that differs between ranks"
    return LOCAL.get(cause.kind, "the rank number")


def divergence_trail(divergence: Divergence) -> Iterator[Place]:
    """From the source of the difference through the condition and the calls to the collective."""
    guard, event, files = divergence.guard, divergence.event, divergence.files
    for cause in guard.causes:
        text = cause_text(cause)
        known = files is not None and files.look == cause and files.change is None
        yield Place(cause.path, cause.span, "source", f"{text}; {files.reason}" if known and files else text)
    if files is not None and files.change is not None:
        yield Place(files.change.path, files.change.span, "note", files.reason)
    if guard.subject is not None:
        yield Place(guard.path, guard.subject, "condition", "the matched value")
    yield Place(guard.path, guard.span, "condition", "condition")
    for site in event.chain:
        yield Place(site.path, site.span, "call", f"calls {site.callee}")
    yield Place(event.path, event.span, "collective", f"{event.op}, {group_text(event)}")
    for further in divergence.further[:_MOST_FURTHER]:
        path = further.chain[0].path if further.chain else further.path
        yield Place(path, further.place[0], "collective", f"{further.op}, also skipped")
    if divergence.other is not None:
        other = divergence.other
        yield Place(other.path, other.span, "collective", f"{other.op}, what the other ranks run here")


def sharing_fix(findings: Findings, facts: FunctionFacts, divergence: Divergence) -> FixBuilder:
    """The builder of the fix that decides the condition once for all ranks."""

    def build(context: FixContext) -> Fix | None:
        from collectivelint.fixes.sharing import shared_decision

        return shared_decision(context, findings.analysis, facts, divergence)

    return build


def loop_advice(divergence: Divergence) -> str:
    """The advice for a loop whose number of iterations differs between ranks."""
    if "no agreement" in divergence.kinds:
        return "pass the group in which the ranks agree on the number of iterations"
    return "move it after the loop, or make the same number of iterations on every rank"


def report_divergence(
    facts: FunctionFacts,
    divergence: Divergence,
    message: str,
    advice: str,
    severity: Severity = "error",
    fix: FixBuilder | None = None,
) -> Report:
    """The finding of a divergence, at the collective or at the call of this function that leads to it."""
    span, statement = divergence.event.place
    return Report(
        path=facts.function.path,
        span=span,
        statement=statement,
        function=facts.function.qualname,
        message=message,
        severity=severity,
        trail=tuple(divergence_trail(divergence)),
        help=advice,
        fix=fix,
        root=divergence.root,
        derived=divergence.derived,
        confidence=divergence.confidence,
        api=divergence.event.api,
    )
