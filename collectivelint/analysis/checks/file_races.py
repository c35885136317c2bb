"""Races on files: a path is looked up while another rank creates or removes it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Literal

from ...ir.nodes import Attribute, Branch, Call, Exit, Logical, Name, Not, assignments, blocks, walk
from ...record import Record
from ..effects import events
from .exclusive import exclude
from .made_paths import made_before

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from ...ir.nodes import Block, Expr, Function, Span
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..summary.facts import FunctionFacts
    from ..summary.file_use import FileUse


class Race(Record):
    """A path that is looked up and then created, with no synchronisation of the ranks in between.

    "raises": a rank that looks after another one has created it raises; "twice": all ranks find nothing, and all create
    it.
    """

    __slots__ = ("kind", "look", "use")

    def __init__(self, kind: Literal["raises", "twice"], look: FileUse, use: FileUse) -> None:
        self.kind: Final = kind
        self.look: Final = look
        self.use: Final = use

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.look, self.use)


def races(facts: FunctionFacts, hints: Collection[str]) -> Iterator[Race]:
    """The races in one function; a condition with one of the `hints` in its names counts as selecting one rank."""
    lines = [event.place[0].line for event in events(facts.term)]
    lines += [call.span.line for call in facts.calls if call.api.category in ("collective", "implicit")]
    # Tools make folders as well, in files that also train: the function itself has to be about several ranks.
    several = any(not event.chain for event in events(facts.term)) or any(call.is_distributed for call in facts.calls)
    branches = list(_branches(facts.function.body))
    for look in facts.files:
        around = [branch for branch in branches if branch.span.contains(look.span)]
        asked = next((branch for branch in reversed(around) if branch.test_span.contains(look.span)), None)
        if look.use != "look" or look.few or asked is None:
            continue
        if any(_hinted(branch.test, hints) for branch in around):
            continue
        listed = _listed(facts, asked.test)
        for use in facts.files:
            between = any(look.span.line <= line <= use.span.line for line in lines)
            if use.use in ("look", "move", "remove") or use.span < look.span or between or not _same(facts, look, use):
                continue
            if use.use == "make" and use.path.symbol in listed:
                # A folder that has just been made has nothing in it.
                continue
            kind = _kind(asked, use)
            if kind == "raises" and (exclude(facts.function, asked.test, use.span) or _is_other_kind(look, use)):
                # Those that make it never ask, or ask for something else.
                continue
            # All look and one writes: there are others, whatever else the function does.
            known = several or (kind == "raises" and (use.use == "make" or use.alone))
            if kind is not None and known and not _is_in_turn(facts, look, use):
                if kind == "raises" or not made_before(facts, look, partial(_is_harmless, hints=hints)):
                    yield Race(kind, look, use)
                break


def _is_in_turn(facts: FunctionFacts, look: FileUse, use: FileUse) -> bool:
    """Whether some ranks wait in a barrier before the look-up, and the others reach it after creating the path."""
    barriers = [call for call in facts.calls if call.api.operation == "barrier" and call.alone and call.guards]
    first = [call.guards[-1] for call in barriers if call.span < look.span]
    second = [call.guards[-1] for call in barriers if use.span < call.span]
    return any(one.symbol is not two.symbol or one.positive is not two.positive for one in first for two in second)


def made_by_callers(race: Race, callers: Iterable[FunctionFacts], hints: Collection[str]) -> bool:
    """Whether every known caller (and at least one) has created the path before the function looks it up."""
    harmless = partial(_is_harmless, hints=hints)
    found = [made_before(caller, race.look, harmless) for caller in callers]
    return race.kind == "twice" and bool(found) and all(found)


def _is_other_kind(look: FileUse, use: FileUse) -> bool:
    """Whether the look-up asks for a folder and a file is written, or the other way round."""
    asked = look.api.rpartition(".")[2]
    if asked in ("isdir", "is_dir"):
        return use.use == "write" and use.state is not None
    return asked in ("isfile", "is_file") and use.use == "make"


def _kind(asked: Branch, use: FileUse) -> Literal["raises", "twice"] | None:
    inside = asked.span.contains(use.span)
    absent = is_absence(asked.test)
    if not inside and not absent and _raises(asked):
        return "raises"
    if inside and absent and use.use in ("make", "link") and not use.few and not use.tolerant:
        return "twice"
    return None


def _listed(facts: FunctionFacts, test: Expr) -> set[Symbol]:
    """The folders that are known not to be empty where a condition that lists them is true."""
    values = test.values if isinstance(test, Logical) and test.op == "and" else (test,)
    asked: set[Span] = set()
    for value in values:
        if not isinstance(value, Not):
            asked.update([part.span for part in walk(value) if isinstance(part, Call)])
    return {use.path for _, use in facts.paths.values() if use.use == "list" and use.cause.span in asked}


def _branches(block: Block) -> Iterator[Branch]:
    for statement in block:
        if isinstance(statement, Branch):
            yield statement
        for inner in blocks(statement):
            yield from _branches(inner)


def _raises(branch: Branch) -> bool:
    last = branch.then[-1] if branch.then else None
    return isinstance(last, Exit) and last.kind == "raise"


def is_absence(test: Expr) -> bool:
    """Whether one operand of a condition tests that the path does not exist."""
    values = test.values if isinstance(test, Logical) else (test,)
    return any(isinstance(value, Not) and isinstance(value.value, Call) and _asks(value.value) for value in values)


def _is_harmless(test: Expr, hints: Collection[str]) -> bool:
    """Whether a condition tests for ranks, or for the absence of a path."""
    return is_absence(test) or _hinted(test, hints)


def _asks(call: Call) -> bool:
    function = call.function
    word = function.name if isinstance(function, Attribute) else function.id if isinstance(function, Name) else ""
    return "exist" in word or word in ("isfile", "isdir", "is_file", "is_dir")


def hinted(function: Function, span: Span, hints: Collection[str]) -> bool:
    """Whether a condition with a hint in its names encloses a place, or made ranks leave before it."""
    around = [*conditions_around(function, span), *_left_before(function.body, span)]
    names = {part.id for test in around for part in walk(test) if isinstance(part, Name)}
    # `first = rank == 0 and tp_rank == 0`, and then `if first:`
    around += [value for name, value in _values(function.body) if name in names]
    return any(_hinted(test, hints) for test in around)


def _left_before(block: Block, span: Span) -> Iterator[Expr]:
    """The conditions under which ranks have left before a place."""
    for statement in block:
        if statement.span.contains(span):
            for inner in blocks(statement):
                yield from _left_before(inner, span)
            return
        if isinstance(statement, Branch) and statement.then and isinstance(statement.then[-1], Exit):
            yield statement.test


def conditions_around(function: Function, span: Span) -> list[Expr]:
    """The conditions of this function around a place."""
    return [branch.test for branch in _branches(function.body) if branch.span.contains(span)]


def names_in(exprs: Iterable[Expr]) -> list[str]:
    """The names of variables and attributes in expressions."""
    found = (part for expr in exprs for part in walk(expr))
    return [part.id if isinstance(part, Name) else part.name for part in found if isinstance(part, (Name, Attribute))]


def _values(block: Block) -> Iterator[tuple[str, Expr]]:
    """What is assigned to each variable."""
    for made in assignments(block):
        yield from ((target.id, made.value) for target in made.targets if isinstance(target, Name))


def is_plain(path: Value) -> bool:
    """Whether a path is built here from parts that cannot contain a rank."""
    symbol = path.written
    return not symbol.has_place and all(_is_joining(inner) for inner in symbol.walk())


def _is_joining(symbol: Symbol) -> bool:
    """Whether an expression computes nothing, or only joins paths."""
    match symbol.kind:
        case "call":
            callee = symbol.args[0]
            return callee.kind == "name" and str(callee.head[0]).startswith(_JOINING)
        case "compound" | "operation":
            return str(symbol.head[0]).startswith(_JOINING)
        case "comprehension" | "rank" | "world_size":
            return False
        case _:
            return True


#: How paths are put together.
_JOINING: Final = (
    "os.path.",
    "pathlib.",
    "JoinedStr",
    "FormattedValue",
    "builtins.str",
    "str",
    "Add",
    "Div",
    "Mod",
    "Tuple",
)


def _hinted(test: Expr, hints: Collection[str]) -> bool:
    return any(hint in name.lower() for name in names_in((test,)) for hint in hints)


def _same(facts: FunctionFacts, look: FileUse, use: FileUse) -> bool:
    """Whether it is the same path: the same value, or the same name with nothing assigned to it in between."""
    if look.path.symbol is use.path.symbol:
        return True
    if not isinstance(look.expr, Name) or look.expr != use.expr:
        return False
    made = assignments(facts.function.body)
    return not any(look.span < item.span < use.span for item in made if look.expr in item.targets)
