"""Unsynchronised uses of files: one rank writes what others read, or all ranks write what all have read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...ir.names import plain
from ...ir.nodes import Branch, Call, Exit, Loop, Try, With, blocks, expressions, walk
from ...record import Record
from ...rule import Place
from ..calls.options import literals
from ..domain.paths import is_inside, is_same
from ..effects import events
from .file_polling import attributes, branches, holds, made_in, statements
from .file_races import names_in

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from ...ir.nodes import Block, Span
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..effects import Guard
    from ..summary.facts import FunctionFacts
    from ..summary.observed import PathUse

_CREATING: Final = frozenset({"fill", "write", "link", "move", "save"})
#: With "given": where the path is not there, what is given it makes it.
_MAKING: Final = _CREATING | {"given"}
_READING: Final = frozenset({"read", "list", "restore"})
_FILLING: Final = frozenset({"fill", "write"})


Kind: TypeAlias = Literal["read", "removed", "rewritten", "made", "unfinished"]


class OutOfTurn(Record):
    """Two unsynchronised uses of a path, each with the call in this function that leads to it.

    "read": one rank writes, others read; "removed": one rank removes what others may still use; "rewritten": all ranks
    read a file and overwrite it; "made": one rank makes a folder, others write into it; "unfinished": one rank moves,
    lists or reads a folder in which other ranks may still write.
    """

    __slots__ = ("at", "first", "kind", "site", "then")

    def __init__(self, kind: Kind, site: Span, first: PathUse, at: Span, then: PathUse) -> None:
        self.kind: Final = kind
        self.site: Final = site
        self.first: Final = first
        self.at: Final = at
        self.then: Final = then

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.site, self.first, self.at, self.then)


def out_of_turn(
    facts: FunctionFacts,
    hints: Collection[str],
    waits: Collection[str],
    callers: Callable[[], Iterable[FunctionFacts]] = tuple,
) -> Iterator[OutOfTurn]:
    """The first such pair of each kind; a call with one of the words `waits` in its name may synchronise the ranks.

    `callers` gives the functions that call this one; they show whether it runs on several ranks.
    """
    uses = [(site, use) for site, use in facts.paths.values() if use.use != "given" or _may_make(facts, site, use)]
    if len(uses) < 2:
        return
    known = attributes(facts)
    seen: set[object] = set()
    for number, (site, first) in enumerate(uses):
        for at, then in uses[number + 1 :]:
            kind = _kind(facts, site, first, at, then)
            if kind is None or site == at or (kind, first.cause) in seen or _meet_between(facts, site, first, then):
                continue
            if not _touches(kind, first, then, known) or not _follows(facts, site, at):
                continue
            if _may_meet(facts, site, at, waits) or (kind == "rewritten" and _is_hinted(facts, at, hints)):
                continue
            if kind == "rewritten" and (_is_one_of_many(facts, then, at) or not _on_all_ranks(facts, then, callers())):
                continue
            seen.add((kind, first.cause))
            yield OutOfTurn(kind, site, first, at, then)


def _meet_between(facts: FunctionFacts, site: Span, first: PathUse, then: PathUse) -> bool:
    """Whether ranks synchronise between two uses, on the path that leads through the first one."""
    here, arms = facts.arms.get(site), facts.met_in
    if here is None or len(arms) != len(facts.meetings):
        return bool(facts.meetings[first.met : then.met])
    return any(
        not any(condition.negate() in here for condition in arms[number])
        for number in range(first.met, min(then.met, len(arms)))
    )


def _may_make(facts: FunctionFacts, site: Span, use: PathUse) -> bool:
    """Whether one rank passes a path to an unknown call where it has not found it: `if not os.path.exists(p): build(p)`."""
    return use.alone and any(
        asked.is_negation and asked.positive.kind == "operation" and use.path in asked.positive.args
        for condition in facts.arms.get(site, ())
        for asked in literals(condition)
    )


def _kind(facts: FunctionFacts, site: Span, first: PathUse, at: Span, then: PathUse) -> Kind | None:
    """The kind of fault of two unsynchronised uses of one path; None if there is none."""
    if then.own:
        # Each rank writes its own file into the folder that one makes.
        made = first.alone and first.use == "make" and not first.own and not then.alone and then.use in _FILLING
        return "made" if made else None
    if first.own:
        moved = then.use == "list" or then.use == "read" or then.use == "remove"
        return "unfinished" if first.use in _FILLING and not first.alone and then.alone and moved else None
    if first.alone and first.use in _MAKING and then.use in _READING:
        return "read" if _is_elsewhere(facts, site, at, then) else None
    if not first.alone and first.use in ("read", "write") and then.alone and then.use == "remove":
        return "removed"
    if not first.alone and first.use == "read" and not then.alone and then.use in ("fill", "write"):
        return "rewritten"
    return None


def _on_all_ranks(facts: FunctionFacts, use: PathUse, callers: Iterable[FunctionFacts]) -> bool:
    """Whether a function or one of its callers is meant for several ranks, all of which reach a use of a path."""
    if is_about_ranks(facts):
        return True
    return any(
        is_about_ranks(caller)
        and any(use.cause == other.cause and not (other.alone or other.own) for _, other in caller.paths.values())
        for caller in callers
        if caller is not facts
    )


def _is_one_of_many(facts: FunctionFacts, use: PathUse, at: Span) -> bool:
    """Whether a path is one of those that a loop iterates over, which the ranks may have divided among themselves."""
    loops = [part for part in statements(facts.function.body) if isinstance(part, Loop) and part.span.contains(at)]
    return any(made_in(use.path, facts.function, loop.span) for loop in loops)


def is_about_ranks(facts: FunctionFacts) -> bool:
    """Whether a function itself, not only its callees, has something that only makes sense with several ranks."""
    direct = any(not event.chain or event.kind == "init" for event in events(facts.term))
    return direct or any(call.is_distributed for call in facts.calls)


def _touches(kind: str, first: PathUse, then: PathUse, known: Mapping[Symbol, Symbol]) -> bool:
    """Whether the second use affects the path of the first one, as `kind` requires."""
    if kind == "read" and then.use == "list":
        # All ranks may look for other files in the folder; one that is told to takes the folder as it is.
        return then.alone and is_inside(first.path, then.path, known)
    if kind == "read" and then.use == "restore":
        # Whatever lies in the folder is part of the checkpoint.
        return is_inside(first.path, then.path, known)
    if kind in ("removed", "unfinished"):
        return is_inside(first.path, then.path, known)
    if kind == "made":
        return is_inside(then.path, first.path, known)
    return is_same(first.path, then.path, known)


def _is_elsewhere(facts: FunctionFacts, site: Span, at: Span, then: PathUse) -> bool:
    """Whether ranks that the first use's conditions exclude reach the second use."""
    readers, guards = facts.turns.get(at), facts.turns.get(site)
    if guards is None:
        # The condition of the one that writes is further down the calls.
        return readers is None and not then.alone
    decided = [(guard, _decided(facts, guard, site)) for guard in guards]
    # `envs.RANK == 0` holds on one rank, whatever it is written with.
    writers = [
        symbol
        for guard, symbol in decided
        if _asked(symbol) is not None or (guard.one and guard.positive and symbol is guard.symbol)
    ]
    if readers is None:
        return bool(writers) and not then.alone
    return any(_are_others(_decided(facts, reader, at), writer) for reader in readers for writer in writers)


def _decided(facts: FunctionFacts, guard: Guard, site: Span) -> Symbol:
    """The outcome of a condition at a place in one of its arms, as a symbol."""
    for branch in branches(facts.function.body):
        if branch.test_span.contains(guard.span) and holds(branch.orelse, site):
            return guard.symbol.negate()
    return guard.symbol


def _are_others(reader: Symbol, writer: Symbol) -> bool:
    """Whether two conditions are known to hold on different ranks."""
    if reader.negate() is writer:
        return True
    one, other = _asked(reader), _asked(writer)
    if one is None or other is None or one is other:
        return False
    return (one.kind != "constant") != (other.kind != "constant")


def _asked(condition: Symbol) -> Symbol | None:
    """The rank that a condition asks for: `rank == 0`, `rank == world_size - 1`."""
    for part in (condition, *literals(condition), *condition.args):
        if part.kind == "compare" and part.head == ("==",):
            left, right = part.args
            if left.kind == "rank":
                return right
            if left.kind == "operation" and left.head[0] == "from":
                return left
    return None


def _follows(facts: FunctionFacts, site: Span, at: Span) -> bool:
    """Whether a rank can go from one place to the other, or two ranks can be at both at the same time."""
    turning = {guard.span for guard in (*facts.turns.get(site, ()), *facts.turns.get(at, ()))}
    for statement in statements(facts.function.body):
        if not isinstance(statement, (Branch, Try)) or not statement.span.contains(site):
            continue
        if isinstance(statement, Branch) and any(statement.test_span.contains(span) for span in turning):
            continue
        arms = list(blocks(statement))
        here = next((arm for arm in arms if holds(arm, site)), None)
        there = next((arm for arm in arms if holds(arm, at)), None)
        if here is None:
            continue
        if there is None and _leaves(here):
            return False
        if there is not None and there is not here:
            return False
    return True


def _leaves(block: Block) -> bool:
    last = block[-1] if block else None
    return isinstance(last, Exit) or (isinstance(last, With) and _leaves(last.body))


def _may_meet(facts: FunctionFacts, site: Span, at: Span, waits: Collection[str]) -> bool:
    """Whether something between two places, or around one of them, has a name that suggests synchronisation."""
    body = facts.function.body
    around = [
        item
        for statement in statements(body)
        if isinstance(statement, With) and statement.span.contains(site) != statement.span.contains(at)
        for item, _ in statement.items
    ]
    if any(isinstance(call, Call) and _waits(call, waits) for item in around for call in walk(item)):
        return True
    return any(
        site < call.span and call.span < at and _waits(call, waits) and _follows(facts, site, call.span)
        for call in expressions(body)
        if isinstance(call, Call)
    )


def _waits(call: Call, waits: Collection[str]) -> bool:
    name = (plain(call.function) or "").rpartition(".")[2].lower()
    return any(word in name for word in waits)


def _is_hinted(facts: FunctionFacts, at: Span, hints: Collection[str]) -> bool:
    """Whether a condition around a place has a word for one rank in its names."""
    around = [branch.test for branch in branches(facts.function.body) if branch.span.contains(at)]
    return any(hint in name.lower() for name in names_in(around) for hint in hints)


def places_of(path: str, site: Span, cause: Cause, text: str) -> Iterator[Place]:
    """The trail to a use of a path: the call in this function, and the use further down the call chain."""
    if (cause.path, cause.span) != (path, site):
        yield Place(path, site, "call", "through this call")
    yield Place(cause.path, cause.span, "note", text)


def statement_at(facts: FunctionFacts, site: Span) -> Span:
    """The innermost statement around a place of a function."""
    found = [statement.span for statement in statements(facts.function.body) if statement.span.contains(site)]
    return found[-1] if found else site
