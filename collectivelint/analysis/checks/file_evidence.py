"""Evidence for a divergence caused by the file system: a race that the program shows, a polled file, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ...ir.nodes import Call, Exit, blocks, expressions
from ...record import Record
from ..calls.meetings import is_for
from ..calls.options import literals
from ..calls.path_uses import LOOKS
from ..domain.causes import Cause
from ..domain.paths import changes, parts
from ..effects import Choice, Event, events
from ..positions import within
from .file_answers import is_asked, is_found, is_guarded, is_present, says
from .file_polling import attributes, branches, holds, is_open, polling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ...ir.nodes import Block, Span
    from ..domain.symbol import Symbol
    from ..effects import Guard, Item
    from ..summary.facts import FunctionFacts
    from ..summary.observed import PathUse


class FileEvidence(Record):
    """Whether ranks differ in practice ("race", "poll") or only where their disks do ("start"), and what shows it.

    `look` is the look-up, `change` the call that creates or removes what it looks for.
    """

    __slots__ = ("change", "kind", "look", "reason")

    def __init__(
        self, kind: Literal["race", "poll", "start"], look: Cause, change: Cause | None = None, reason: str = ""
    ) -> None:
        self.kind: Final = kind
        self.look: Final = look
        self.change: Final = change
        self.reason: Final = reason

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.look, self.change, self.reason)

    @property
    def is_practical(self) -> bool:
        """Whether a healthy shared disk can answer ranks differently."""
        return self.kind != "start"


_CREATING: Final = frozenset({"make", "fill", "write", "link", "move", "given"})
_REMOVING: Final = frozenset({"remove", "move"})


def file_evidence(
    facts: FunctionFacts, guard: Guard, event: Event, callers: Callable[[], Iterable[FunctionFacts]]
) -> FileEvidence | None:
    """What the program shows about look-ups that decide a condition; None where something else decides it as well.

    `event` is the collective that the condition decides about; `callers` gives the functions of the same file that call this one.
    """
    causes = [cause for cause in guard.causes if cause.kind == "file system"]
    if not causes or any(cause.kind not in ("file system", "branch") for cause in guard.causes):
        return None
    known = attributes(facts)
    at = event.place[0]
    looks = [(site, use) for site, use in facts.paths.values() if use.use in LOOKS and use.cause in causes]
    asked = [(site, look) for site, look in looks if is_asked(facts, guard, site, look)]
    for site, look in looks:
        if (site, look) not in asked and not is_found(facts, guard, site):
            continue
        race = _race(facts, guard, site, look, known, event)
        if race is not None:
            return race
        if _is_needed(facts, guard, site, look, at):
            reason = "the path exists after this call: a rank that checks later finds it and skips the call"
            return FileEvidence("race", look.cause, Cause("file system", facts.function.path, at), reason)
    created = [where for _, look in looks for where in _created(facts, look, known)]
    for cause in dict.fromkeys(look.cause for _, look in asked):
        loops = polling(facts, cause, guard)
        if created:
            # Who creates it is known: it may be there in the next turn, unless all ranks meet before they look again.
            loops = [(loop, site) for loop, site in loops if is_open(facts, loop, site, created, event)]
        if loops or (not created and any(polling(caller, cause, None) for caller in callers())):
            return FileEvidence(
                "poll", cause, reason="it is checked again in every iteration of a loop that runs collectives"
            )
    if created and not asked:
        return FileEvidence("start", causes[0], reason="the result was stored before the path was created")
    if created:
        return FileEvidence(
            "start", causes[0], reason="no code was found that creates it before all ranks have checked"
        )
    return FileEvidence("start", causes[0], reason="no code was found that creates or removes it meanwhile")


def _race(
    facts: FunctionFacts, guard: Guard, site: Span, look: PathUse, known: Mapping[Symbol, Symbol], event: Event
) -> FileEvidence | None:
    """The first call that changes the looked-up path while another rank may not have looked it up yet."""
    looked = parts(look.path, known)
    around = _around(facts, event)
    seen = False
    for where, use in facts.paths.values():
        if use is look:
            seen = True
            continue
        if not (_CREATING | _REMOVING) & {use.use} or (not seen and not use.alone):
            continue
        if _have_met(facts, look, use, event.group, around) or _exclude_each_other(look, use):
            continue
        if not changes(use.use, parts(use.path, known), looked):
            continue
        if use.use in _CREATING and _stays_missing(facts, guard, look, where):
            continue
        is_before = use.alone and where < guard.span and is_asked(facts, guard, site, look)
        if not is_before and not is_guarded(facts.function.body, guard, site, where):
            # What is created once the answer has had its effect is found by the next run.
            continue
        if look.use == "list" and use.use in ("make", "link") and use.path is look.path:
            # A folder that has just been made has nothing in it.
            continue
        present = is_present(facts.function.body, guard, site, where) if seen else None
        creates = use.use in _CREATING and present is not True and (use.use != "given" or present is False)
        if creates or (use.use in _REMOVING and present is not False):
            verb = "created" if creates else "removed"
            reason = (
                f"it is {verb} here before all ranks have synchronised: a rank that checks later gets another answer"
            )
            return FileEvidence("race", look.cause, use.cause, reason)
    return None


def _exclude_each_other(one: PathUse, other: PathUse) -> bool:
    """Whether no rank does both: they are in the two arms of a condition, `if train: save()` and `else: listdir()`.

    A condition that is evaluated again in each iteration of a loop may have another outcome in the next one.
    """
    return any(
        symbol.negate() in other.when
        for symbol in one.when
        if not any(part.kind == "place" and part.head[0] == "each" for part in symbol.walk())
    )


def _stays_missing(facts: FunctionFacts, guard: Guard, look: PathUse, where: Span) -> bool:
    """Whether a path created in the listed folder leaves the file that the condition looks up missing.

    `latest = max(folder.iterdir())`, `if (latest / "state.pt").exists(): return`, and then a new folder without that
    file: a rank that finds the new folder takes the same branch as the rank that made it.
    """
    body = facts.function.body
    asked = [
        (site, use)
        for site, use in facts.paths.values()
        if use.use in LOOKS and use is not look and (guard.span.contains(site) or _has_to_be_there(body, guard, site))
    ]
    return bool(asked) and all(
        not _may_create(facts, parts(use.path, {})[-1]) and is_present(body, guard, site, where) is False
        for site, use in asked
    )


def _has_to_be_there(block: Block, guard: Guard, site: Span) -> bool:
    """Whether every exit under the condition is inside a branch taken only where a look-up finds something."""
    for outer in branches(block):
        if not outer.test_span.contains(guard.span):
            continue
        exits = [statement.span for statement in _exits((*outer.then, *outer.orelse))]
        inner = [
            branch.then
            for branch in branches((*outer.then, *outer.orelse))
            if branch.test_span.contains(site) and says(branch.test, site)
        ]
        return bool(exits) and all(any(holds(then, span) for then in inner) for span in exits)
    return False


def _exits(block: Block) -> Iterator[Exit]:
    for statement in block:
        if isinstance(statement, Exit):
            yield statement
        for inner in blocks(statement):
            yield from _exits(inner)


def _may_create(facts: FunctionFacts, name: Symbol) -> bool:
    """Whether a function may create a path with this last part, in any folder."""
    created: dict[Span, list[Symbol]] = {}
    for where, use in facts.paths.values():
        if use.use in _CREATING and use.use != "given":
            created.setdefault(where, []).append(parts(use.path, {})[-1])
    # Of a path that stands in a variable, one of its symbols says what it was put together from.
    written = [[last for last in lasts if last.kind == "constant"] for lasts in created.values()]
    return name.kind != "constant" or any(name in lasts or not lasts for lasts in written)


def _around(facts: FunctionFacts, event: Event) -> frozenset[Symbol]:
    """The conditions around a collective."""

    def inside(item: Item, number: int, known: frozenset[Symbol]) -> frozenset[Symbol]:
        if not isinstance(item, Choice):
            return known
        symbol = item.guard.symbol if number == 0 else item.guard.symbol.negate()
        return known | {*literals(symbol)}

    nothing: frozenset[Symbol] = frozenset()
    found = within(facts.term, nothing, inside)
    return next((known for item, known in found if isinstance(item, Event) and item.place == event.place), nothing)


def _have_met(facts: FunctionFacts, look: PathUse, use: PathUse, group: Symbol, around: frozenset[Symbol]) -> bool:
    """Whether all ranks of a group synchronise between two uses of paths, under no further conditions."""
    start, end = sorted((look.met, use.met))
    known = around.union(look.when, use.when)
    return any(is_for(meeting.group, group) and known.issuperset(meeting.when) for meeting in facts.meetings[start:end])


def _is_needed(facts: FunctionFacts, guard: Guard, look: Span, use: PathUse, at: Span) -> bool:
    """Whether a call made where a path is missing precedes any collective, and the path is used afterwards."""
    if is_present(facts.function.body, guard, look, at) is not False:
        return False
    if any(look < event.place[0] < at for event in events(facts.term)):
        return False
    call = next((expr for expr in expressions(facts.function.body) if isinstance(expr, Call) and expr.span == at), None)
    if call is None or not (call.args or call.keywords):
        # What is passed nothing is a barrier in other words.
        return False
    return any(
        other.use == "given" and other.path is use.path and at < where and not _holds_both(facts, look, where)
        for where, other in facts.paths.values()
    )


def _holds_both(facts: FunctionFacts, look: Span, where: Span) -> bool:
    """Whether a place is reached only under the condition that contains a look-up."""
    return any(
        branch.test_span.contains(look) and branch.span.contains(where) for branch in branches(facts.function.body)
    )


def _created(facts: FunctionFacts, look: PathUse, known: Mapping[Symbol, Symbol]) -> list[Span]:
    """The places where a looked-up path is created."""
    looked = parts(look.path, known)
    return [
        where
        for where, use in facts.paths.values()
        if use.use in _CREATING and use.use != "given" and changes(use.use, parts(use.path, known), looked)
    ]
