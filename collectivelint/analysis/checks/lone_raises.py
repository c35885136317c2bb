"""Exceptions that one rank alone raises while the others go on to a collective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...findings.confidence import Confidence
from ...record import Record
from ..domain.normalise import MOST_ITEMS, continued, tidy
from ..domain.symbol import WORLD
from ..effects import Choice, Leave, decided_by, events, parts, size, walk

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Span
    from ..effects import Event, Guard, Term


class LoneRaise(Record):
    """At `span` the rank that `guard` lets in raises, where `check` says so; the others go on to `event`."""

    __slots__ = ("check", "event", "guard", "holds", "span")

    def __init__(self, guard: Guard, holds: bool, check: Guard, span: Span, event: Event) -> None:
        self.guard: Final = guard
        self.holds: Final = holds
        self.check: Final = check
        self.span: Final = span
        self.event: Final = event

    def _fields(self) -> tuple[object, ...]:
        return (self.guard, self.holds, self.check, self.span, self.event)

    @property
    def confidence(self) -> Confidence:
        """What a rank finds on its disk or in its data happens; what a configuration says is there from the start."""
        seen = any(cause.kind not in ("rank", "branch") for cause in self.check.causes)
        return Confidence.MEDIUM if seen else Confidence.LOW


def lone_raises(term: Term) -> Iterator[LoneRaise]:
    """Those of a function, each once."""
    if not any(isinstance(item, Leave) and item.span is not None for item in walk(term)) or size(term) > MOST_ITEMS:
        return
    found: set[Span] = set()
    for item in walk(tidy(continued(term))):
        if not isinstance(item, Choice) or not _is_for_one(item.guard):
            continue
        for holds, mine, theirs in ((True, item.then, item.orelse), (False, item.orelse, item.then)):
            if item.guard.one is not holds:
                continue
            event = next((event for event in events(theirs) if _is_met(event, item.guard)), None)
            if event is None or not any(event.token == other.token for other in events(mine)):
                # What one side does not run at all is no matter of an exception.
                continue
            for check, span in _raises(mine):
                if span not in found:
                    found.add(span)
                    yield LoneRaise(item.guard, holds, check, span, event)


def _is_for_one(guard: Guard) -> bool:
    """Whether a condition picks one rank."""
    return (
        guard.own and not guard.maybe and guard.one is not None and any(cause.kind == "rank" for cause in guard.causes)
    )


def _is_met(event: Event, guard: Guard) -> bool:
    """Whether the rank that is picked is one of those that run a collective."""
    return event.kind != "init" and (event.group is WORLD or event.group in guard.varies or not event.partial)


def _raises(term: Term) -> Iterator[tuple[Guard, Span]]:
    """The exceptions of an arm before its first collective, each with the condition right around it."""
    pending: list[tuple[Term, Guard | None]] = [(term, None)]
    while pending:
        current, check = pending.pop()
        for item in current:
            if isinstance(item, Leave) and item.span is not None and check is not None:
                yield check, item.span
            if isinstance(item, Choice):
                pending += [(part, decided_by(item)) for part in parts(item)]
