"""Exceptions that one rank alone raises, or runs into, while the others go on to a collective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ...catalog.operations import SETTING
from ...program.target import Target
from ...record import Record
from ..domain.normalise import MOST_ITEMS, continued, tidy
from ..domain.symbol import WORLD
from ..effects import Choice, Leave, Repeat, decided_by, events, parts, size, walk

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ...ir.nodes import Call, Function, Span
    from ..domain.symbol import Symbol
    from ..effects import Event, Guard, Term
    from ..summary.facts import FunctionFacts
    from ..summary.model import Note, NoteKind


class LoneRaise(Record):
    """A rank selected by `guard` raises at `span` if `check` says so; the others go on to `event`."""

    __slots__ = ("check", "event", "guard", "holds", "span")

    def __init__(self, guard: Guard, holds: bool, check: Guard, span: Span, event: Event) -> None:
        self.guard: Final = guard
        self.holds: Final = holds
        self.check: Final = check
        self.span: Final = span
        self.event: Final = event

    def _fields(self) -> tuple[object, ...]:
        return (self.guard, self.holds, self.check, self.span, self.event)


def lone_raises(term: Term) -> Iterator[LoneRaise]:
    """The exceptions of a function that a single rank raises, each once."""
    if not any(isinstance(item, Leave) and item.span is not None for item in walk(term)) or size(term) > MOST_ITEMS:
        return
    found: set[Span] = set()
    for item in walk(tidy(continued(term))):
        if isinstance(item, Choice) and _is_of_data(item.guard):
            for raised in _own_raises(item):
                if raised.span not in found:
                    found.add(raised.span)
                    yield raised
        if not isinstance(item, Choice) or not _is_for_some(item.guard):
            continue
        for holds, mine, theirs in ((True, item.then, item.orelse), (False, item.orelse, item.then)):
            if item.guard.one is (not holds):
                continue
            shared = {other.span for other in walk(theirs) if isinstance(other, Leave) and other.kind == "raise"}
            for check, span, met in _raises(mine):
                # What stands behind the condition, all ranks may raise.
                if (
                    span in found
                    or span in shared
                    or not (is_handler(check) or (item.guard.one is holds and not item.guard.maybe))
                ):
                    continue
                event = _waiting(theirs, met, item.guard)
                # What one side does not run at all is no matter of an exception.
                if event is not None and any(event.token == other.token for other in events(mine)):
                    found.add(span)
                    yield LoneRaise(item.guard, holds, check, span, event)


def is_handler(check: Guard) -> bool:
    """Whether the condition of an exception is a handler that caught another one, which may happen on a single rank."""
    return check.symbol.kind == "caught" and bool(check.symbol.head[1])


def _is_for_some(guard: Guard) -> bool:
    """Whether a condition picks some ranks."""
    return guard.own and any(cause.kind == "rank" for cause in guard.causes)


def _is_of_data(guard: Guard) -> bool:
    """Whether a condition depends on the values in a rank's own data."""
    kinds = {cause.kind for cause in guard.causes} - {"branch"}
    is_asked = bool(kinds) and kinds <= {"data", "own data"}
    return is_asked and guard.own and bool(guard.varies) and not guard.maybe


def _own_raises(item: Choice) -> Iterator[LoneRaise]:
    """The exception about own data in which an arm ends at once, where the other one goes on to a collective."""
    for holds, mine, theirs in ((True, item.then, item.orelse), (False, item.orelse, item.then)):
        last = mine[-1] if mine else None
        if not isinstance(last, Leave) or last.kind != "raise" or last.span is None or next(events(mine), None):
            continue
        ahead = next((event for event in events(theirs) if _is_met(event, item.guard)), None)
        if ahead is not None:
            yield LoneRaise(item.guard, holds, item.guard, last.span, ahead)


def _is_met(event: Event, guard: Guard) -> bool:
    """Whether the rank that raises is a member of a collective's group."""
    return (
        event.kind != "init"
        and event.operation != SETTING
        and (event.group is WORLD or event.group in guard.varies or not event.partial)
    )


#: The kinds of collectives that a rank has run before it gets to a place.
_Met: TypeAlias = "tuple[tuple[str, Symbol, str], ...]"


def _waiting(theirs: Term, met: _Met, guard: Guard) -> Event | None:
    """The other ranks' first collective that the raising rank has not run; None where they may know of the failure.

    They may learn of it in a collective that both run before: if they raise after it, they have.
    """
    pending = [*met]
    ahead: list[Event] = []
    for event in events(theirs):
        if event.token in pending:
            pending.remove(event.token)
        elif _is_met(event, guard):
            ahead.append(event)
    has_met = len(pending) < len(met)
    if has_met and any(isinstance(item, Leave) and item.kind == "raise" for item in walk(theirs)):
        return None
    return ahead[0] if ahead else None


def _raises(term: Term) -> Iterator[tuple[Guard, Span, _Met]]:
    """The exceptions of an arm, each with the condition right around it and with the collectives before it."""
    nothing: _Met = ()
    pending: list[tuple[Term, Guard | None, _Met]] = [(term, None, nothing)]
    while pending:
        current, check, met = pending.pop()
        for item in current:
            if isinstance(item, Leave) and item.span is not None and check is not None:
                yield check, item.span, met
            if isinstance(item, Choice):
                pending += [(part, decided_by(item), met) for part in parts(item)]
            elif isinstance(item, Repeat):
                pending.append((item.body, check, met))
            met = (*met, *(event.token for event in events((item,))))


class Known(Protocol):
    """What the checks need to know of a program to find the collectives after a place."""

    def notes(self, kind: NoteKind) -> Iterator[tuple[FunctionFacts, Note]]:
        """What was noted in the functions to judge."""

    def facts(self, target: Target) -> FunctionFacts | None:
        """The facts of a function."""

    def calls_in(self, path: str, name: str) -> Sequence[tuple[Function, Call]]:
        """The calls of anything of this name in one file."""


def lone_failures(known: Known, kind: NoteKind) -> Iterator[tuple[FunctionFacts, Note, Event]]:
    """Uses by a single rank of what it may not have found, each with the first collective of the other ranks."""
    for facts, note in known.notes(kind):
        event = _behind(known, facts, note.span)
        if event is not None:
            yield facts, note, event


def _behind(known: Known, facts: FunctionFacts, place: Span) -> Event | None:
    """The first collective behind a place of a function, or behind a call of the function in its file."""
    pending = [(facts, place)]
    entered = {facts.function.qualname}
    while pending:
        current, here = pending.pop()
        ahead = (event for event in events(current.term) if event.place[0] > here and event.kind != "init")
        event = next(ahead, None)
        if event is not None:
            return event
        path, name = current.function.path, current.function.qualname.rpartition(".")[2]
        for caller, call in known.calls_in(path, name):
            found = known.facts(Target("function", path, caller.qualname))
            if found is not None and caller.qualname not in entered:
                entered.add(caller.qualname)
                pending.append((found, call.span))
    return None
