"""Collectives that run once per key of a dict whose keys come from each rank's own data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Assign,
    Attribute,
    Branch,
    Call,
    Compare,
    Compound,
    Loop,
    Name,
    Subscript,
    assignments,
    blocks,
    calls,
    expressions,
    walk,
)
from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ...ir.nodes import Block, Expr, Span
    from ..effects import Event
    from ..summary.facts import FunctionFacts

#: Methods that put something into the entry of a key.
_FILLING: Final = frozenset({"add", "append", "extend", "update"})
#: Calls whose names are the same on all ranks: those of a model's parts.
_OF_MODEL: Final = frozenset(
    {"modules", "named_buffers", "named_modules", "named_parameters", "parameters", "state_dict"}
)


class KeyedCollective(Record):
    """The collective `event` in a loop over the keys of `container`, which gets them at `filled`."""

    __slots__ = ("container", "event", "facts", "filled", "head")

    def __init__(self, facts: FunctionFacts, event: Event, container: str, head: Span, filled: Span) -> None:
        self.facts: Final = facts
        self.event: Final = event
        self.container: Final = container
        self.head: Final = head
        self.filled: Final = filled

    def _fields(self) -> tuple[object, ...]:
        return (self.facts, self.event, self.container, self.head, self.filled)


def keyed_collectives(functions: Iterable[FunctionFacts]) -> Iterator[KeyedCollective]:
    """The first collective of each loop over a dict that gets its keys, in the same file, from a rank's own data.

    Skipped where a collective before the loop is passed the container, or its keys: then the ranks agree on them.
    """
    every = list(functions)
    attributes: dict[str, dict[str, Span]] = {}
    for facts in every:
        path = facts.function.path
        seen: set[Span] = set()
        for event in facts.events:
            for loop in _loops_around(facts.function.body, event.place[0]):
                container = _container(loop.iterable)
                if container is None or loop.span in seen or not _is_given(facts, event, loop, container):
                    continue
                if isinstance(container, Name):
                    filled = _filled_local(facts, container)
                elif _has_entries(loop, container):
                    if path not in attributes:
                        attributes[path] = _filled_attributes([one for one in every if one.function.path == path])
                    filled = attributes[path].get(container.name)
                else:
                    filled = None
                if filled is not None and not _is_agreed(facts, loop, container):
                    seen.add(loop.span)
                    yield KeyedCollective(facts, event, plain(container) or "", loop.head, filled)


def _has_entries(loop: Loop, container: Expr) -> bool:
    """Whether a loop iterates over a dict: it calls `items()` or the like, or takes the entry of each key."""
    if isinstance(loop.iterable, Call):
        return True
    return any(
        isinstance(part, Subscript) and part.value == container and part.index == loop.target
        for part in expressions(loop.body)
    )


def _loops_around(block: Block, span: Span) -> Iterator[Loop]:
    """The `for` loops that hold a place, outer ones first."""
    for statement in block:
        if not statement.span.contains_line(span.line):
            continue
        if isinstance(statement, Loop) and statement.target is not None:
            yield statement
        for inner in blocks(statement):
            yield from _loops_around(inner, span)


def _container(iterable: Expr) -> Name | Attribute | None:
    """The dict that a loop iterates over: `d`, `d.keys()`, `d.items()`, `list(d)`."""
    match iterable:
        case Call(function=Name(id="list" | "tuple"), args=(inner,)):
            return _container(inner)
        case Call(function=Attribute(value=inner, name="keys" | "items"), args=()):
            return _container(inner)
        case Name() | Attribute():
            return iterable
        case _:
            return None


def _is_given(facts: FunctionFacts, event: Event, loop: Loop, container: Expr) -> bool:
    """Whether a collective in a loop is passed the entry of the current key."""
    names = {part.id for part in walk(loop.target) if isinstance(part, Name)} if loop.target is not None else set()
    # What a turn makes of the entry.
    for made in assignments(loop.body):
        if any(part == container or (isinstance(part, Name) and part.id in names) for part in walk(made.value)):
            names |= {target.id for target in made.targets if isinstance(target, Name)}
    return any(
        part == container or (isinstance(part, Name) and part.id in names)
        for call in _calls_at(facts.function.body, event.place[0])
        for given in (*call.args, *(value for _, value in call.keywords))
        for part in walk(given)
    )


def _calls_at(block: Block, span: Span) -> Iterator[Call]:
    for statement in block:
        if statement.span.contains_line(span.line):
            yield from (call for call in calls(statement) if call.span == span)
            for inner in blocks(statement):
                yield from _calls_at(inner, span)


def _filled_local(facts: FunctionFacts, container: Name) -> Span | None:
    """Where keys are added to a variable that starts as an empty dict."""
    body = facts.function.body
    made = [one.value for one in assignments(body) if container in one.targets]
    if len(made) != 1 or not _is_table(made[0]):
        return None
    asks = not _makes_entries(made[0])
    return next((span for expr, span, asked in _fills(body) if expr == container and asked >= asks), None)


def _filled_attributes(functions: Sequence[FunctionFacts]) -> dict[str, Span]:
    """Where keys are added to attributes that these functions of one file only ever set to an empty dict."""
    asking: set[str] = set()
    others: set[str] = set()
    for facts in functions:
        for one in assignments(facts.function.body):
            names = {target.name for target in one.targets if isinstance(target, Attribute)}
            if not _is_table(one.value):
                others |= names
            elif not _makes_entries(one.value):
                asking |= names
    found: dict[str, Span] = {}
    for facts in functions:
        for expr, span, asked in _fills(facts.function.body):
            if isinstance(expr, Attribute) and expr.name not in others and (asked or expr.name not in asking):
                found.setdefault(expr.name, span)
    return found


def _is_table(value: Expr) -> bool:
    """Whether it is an empty dict."""
    return (
        _makes_entries(value)
        or value == Compound("Dict", ())
        or (isinstance(value, Call) and _called(value) == "dict" and not value.args)
    )


def _makes_entries(value: Expr) -> bool:
    """Whether it is a dict that adds an entry for a missing key, such as a `defaultdict`."""
    return _called(value) == "defaultdict"


def _called(value: Expr) -> str:
    return (plain(value.function) or "").rpartition(".")[2] if isinstance(value, Call) else ""


def _fills(block: Block, inside: bool = False) -> Iterator[tuple[Expr, Span, bool]]:
    """The containers to which loops add entries under computed keys, each with the place.

    Also whether the key is tested for first: `d.setdefault(key, [])`, `if key not in d`.
    """
    for statement in block:
        if inside:
            match statement:
                case Branch(test=Compare(op="not in", left=left, right=right)) if _is_open(left):
                    yield right, statement.span, True
                case _:
                    pass
            for call in calls(statement):
                match call:
                    case Call(function=Attribute(value=container, name="setdefault"), args=(key, *_)) if _is_open(key):
                        yield container, statement.span, True
                    case _:
                        pass
            entries = [
                call.function.value
                for call in calls(statement)
                if isinstance(call.function, Attribute) and call.function.name in _FILLING
            ]
            if isinstance(statement, Assign):
                entries += statement.targets
            for entry in entries:
                if isinstance(entry, Subscript) and _is_open(entry.index):
                    yield entry.value, statement.span, False
        over_model = isinstance(statement, Loop) and any(
            isinstance(part, Attribute) and part.name in _OF_MODEL for part in walk(statement.iterable)
        )
        # A loop over the dict itself adds no key.
        own = _container(statement.iterable) if isinstance(statement, Loop) else None
        for inner in blocks(statement) if not over_model else ():
            for found in _fills(inner, inside or isinstance(statement, Loop)):
                if own is None or found[0] != own:
                    yield found


def _is_open(key: Expr) -> bool:
    """Whether a key is not written out."""
    return any(isinstance(part, Name) for part in walk(key))


def _is_agreed(facts: FunctionFacts, loop: Loop, container: Expr) -> bool:
    """Whether a collective before the loop is given the container, or something made of it."""
    made = {
        target.id
        for one in assignments(facts.function.body)
        if any(part == container for part in walk(one.value))
        for target in one.targets
        if isinstance(target, Name)
    }
    for event in facts.events:
        place = event.place[0]
        if place.line >= loop.span.line:
            continue
        for call in _calls_at(facts.function.body, place):
            for given in (*call.args, *(value for _, value in call.keywords)):
                if any(part == container or (isinstance(part, Name) and part.id in made) for part in walk(given)):
                    return True
    return False
