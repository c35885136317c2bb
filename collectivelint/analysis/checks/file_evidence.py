"""How sure a divergence is whose cause is the file system: a race that the program shows, a file that is polled, or neither."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from ...ir.nodes import Branch, Call, Exit, Logical, Loop, Not, assignments, blocks, expressions
from ...record import Record
from ..calls.options import literals
from ..calls.path_uses import LOOKS
from ..domain.causes import Cause
from ..domain.paths import changes, parts
from ..domain.symbol import WORLD, attribute, parameter
from ..effects import Choice, Event, events
from ..positions import within
from .file_races import names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from ...ir.nodes import Block, Expr, Function, Span, Statement
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
    known = _attributes(facts)
    at = event.place[0]
    looks = [(site, use) for site, use in facts.paths.values() if use.use in LOOKS and use.cause in causes]
    for site, look in looks:
        race = _race(facts, guard, site, look, known, event)
        if race is not None:
            return race
        if _is_needed(facts, guard, site, look, at):
            reason = "it has to be there after this call: a rank that looks later finds it and leaves the call out"
            return FileEvidence("race", look.cause, Cause("file system", facts.function.path, at), reason)
    if any(_is_created(facts, look, known) for _, look in looks):
        return FileEvidence("start", causes[0], reason="all ranks meet in a collective before it is created")
    for cause in causes:
        if _is_polled(facts, cause, guard) or any(_is_polled(caller, cause, None) for caller in callers()):
            return FileEvidence("poll", cause, reason="looked up again in every turn of a loop that runs collectives")
    return FileEvidence("start", causes[0], reason="no rank is seen to create or remove it meanwhile")


def _attributes(facts: FunctionFacts) -> dict[Symbol, Symbol]:
    """What the function assigns to attributes of its object."""
    function = facts.function
    if function.owner is None or not function.params:
        return {}
    own = parameter(function.params[0].name)
    return {attribute(own, name): value.written for name, value in facts.attributes.items()}


def _race(
    facts: FunctionFacts, guard: Guard, site: Span, look: PathUse, known: Mapping[Symbol, Symbol], event: Event
) -> FileEvidence | None:
    """The first call that changes what is looked for while another rank may not have looked yet."""
    looked = parts(look.path, known)
    around = _around(facts, event)
    seen = False
    for where, use in facts.paths.values():
        if use is look:
            seen = True
            continue
        if not (_CREATING | _REMOVING) & {use.use} or (not seen and not use.alone):
            continue
        if _have_met(facts, look, use, event.group, around):
            continue
        if not changes(use.use, parts(use.path, known), looked):
            continue
        present = _present(facts.function.body, guard, site, where) if seen else None
        creates = use.use in _CREATING and present is not True and (use.use != "given" or present is False)
        if creates or (use.use in _REMOVING and present is not False):
            verb = "created" if creates else "removed"
            reason = f"it is {verb} here before all ranks have met: a rank that looks later finds something else"
            return FileEvidence("race", look.cause, use.cause, reason)
    return None


def _around(facts: FunctionFacts, event: Event) -> frozenset[Symbol]:
    """The conditions that a collective stands under."""

    def inside(item: Item, number: int, known: frozenset[Symbol]) -> frozenset[Symbol]:
        if not isinstance(item, Choice):
            return known
        symbol = item.guard.symbol if number == 0 else item.guard.symbol.negate()
        return known | {*literals(symbol)}

    nothing: frozenset[Symbol] = frozenset()
    found = within(facts.term, nothing, inside)
    return next((known for item, known in found if isinstance(item, Event) and item.place == event.place), nothing)


def _have_met(facts: FunctionFacts, look: PathUse, use: PathUse, group: Symbol, around: frozenset[Symbol]) -> bool:
    """Whether all ranks of a group meet between two uses of paths, under no conditions but those `around`, or of the two."""
    start, end = sorted((look.met, use.met))
    holds = around.union(look.when, use.when)
    return any(
        (meeting.group in (group, WORLD) or meeting.group.kind == "mesh") and holds.issuperset(meeting.when)
        for meeting in facts.meetings[start:end]
    )


def _is_needed(facts: FunctionFacts, guard: Guard, look: Span, use: PathUse, at: Span) -> bool:
    """Whether a call that is made where a path is missing comes before any collective, and the path is used afterwards."""
    if _present(facts.function.body, guard, look, at) is not False:
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
    """Whether a place is reached only under the condition that a look-up stands in."""
    return any(
        branch.test_span.contains(look) and branch.span.contains(where) for branch in _branches(facts.function.body)
    )


def _is_created(facts: FunctionFacts, look: PathUse, known: Mapping[Symbol, Symbol]) -> bool:
    looked = parts(look.path, known)
    return any(
        use.use in _CREATING and use.use != "given" and changes(use.use, parts(use.path, known), looked)
        for _, use in facts.paths.values()
    )


# --------------------------------------------------------------------------------- where the path is known to be there


def _present(block: Block, guard: Guard, look: Span, site: Span) -> bool | None:
    """Whether what is looked for is there (or not) wherever a place is reached; None where the condition does not say."""
    found: bool | None = None
    for branch in _branches(block):
        if not (branch.test_span.contains(look) or branch.test_span.contains(guard.span)):
            continue
        there = _says(branch.test, look)
        if there is None:
            continue
        if _holds(branch.then, site):
            found = there
        elif _holds(branch.orelse, site) or (
            branch.span < site and _leaves(branch.then) and not _leaves(branch.orelse)
        ):
            found = not there
    return found


def _says(test: Expr, look: Span) -> bool | None:
    """Whether a condition holds where the path is there (or where it is not)."""
    match test:
        case Not(value=value):
            there = _says(value, look)
            return None if there is None else not there
        case Logical(values=values):
            return next((there for value in values if (there := _says(value, look)) is not None), None)
        case Call(span=span) if span == look:
            return True
        case _:
            return None


def _branches(block: Block) -> Iterator[Branch]:
    for statement in _statements(block):
        if isinstance(statement, Branch):
            yield statement


def _statements(block: Block) -> Iterator[Statement]:
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from _statements(inner)


def _holds(block: Block, site: Span) -> bool:
    return any(statement.span.contains(site) for statement in block)


def _leaves(block: Block) -> bool:
    return bool(block) and isinstance(block[-1], Exit)


# ------------------------------------------------------------------------------------------------------------- polling


def _is_polled(facts: FunctionFacts, cause: Cause, guard: Guard | None) -> bool:
    """Whether a function looks for one and the same path in every turn of a loop that runs collectives.

    `guard` is what the answer decides, if it does so in the function itself.
    """
    sites = [(site, use.path) for site, use in facts.paths.values() if use.use in LOOKS and use.cause == cause]
    if not sites:
        return False
    loops = [statement for statement in _statements(facts.function.body) if isinstance(statement, Loop)]
    places = [event.place[0] for event in events(facts.term)] if loops else []
    return any(
        (_holds(loop.body, site) or (loop.target is None and loop.span.contains(site)))
        and any(loop.span.contains(place) for place in places)
        and not _made_in(path, facts.function, loop.span)
        and (guard is None or _feeds(loop, site, guard))
        for loop in loops
        for site, path in sites
    )


def _made_in(path: Symbol, function: Function, span: Span) -> bool:
    """Whether a path is made of something that every turn of a loop has another of."""
    here = (function.path, function.qualname)
    lines = range(span.line - function.first_line, span.end_line - function.first_line + 1)
    places = [inner.head for inner in path.walk() if inner.kind == "place"]
    return any(head[1:3] == here and head[3] in lines for head in places)


def _feeds(loop: Loop, site: Span, guard: Guard) -> bool:
    """Whether a condition is computed from a call in a loop: it stands there, or in what a variable is assigned."""
    tests = [
        (branch.test, branch.test_span) for branch in _branches(loop.body) if branch.test_span.contains(guard.span)
    ]
    tests.append((loop.iterable, loop.head))
    if any(span.contains(site) for _, span in tests):
        return True
    names = set(names_in(test for test, _ in tests))
    made = [item for item in assignments(loop.body) if item.span.contains(site)]
    return any(not names.isdisjoint(names_in(item.targets)) for item in made)
