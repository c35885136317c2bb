"""Conditions on clocks that only delay: every rank stays in a loop until it has run the collective."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ...ir.nodes import Assign, Attribute, Call, Exit, Loop, Name, blocks, parts, walk
from ..effects import events

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from ...ir.nodes import Block, Function, Span, Statement
    from ..effects import Guard
    from ..summary.facts import FunctionFacts


def only_delays(facts: FunctionFacts, guard: Guard, setters: Callable[[str], Iterable[str]]) -> bool:
    """Whether a condition on a clock decides when each iteration's collective runs, and not whether it runs.

    This is a `while` loop in which a collective runs exactly where the loop ends or its condition changes. `setters`
    gives the methods of the function's class that assign an attribute.
    """
    if any(cause.kind not in ("clock", "branch") for cause in guard.causes):
        return False
    loop = _innermost(facts.function.body, guard.span)
    if loop is None:
        return False
    inside = [event for event in events(facts.term) if loop.span.contains(event.place[0])]
    places = [event.place[0] for event in inside]
    if len({event.token for event in inside}) != 1 or any(_is_direct(statement, places) for statement in loop.body):
        return False
    asked = list(walk(loop.iterable))
    names = {name for part in asked if isinstance(part, (Name, Attribute)) and (name := plain(part)) is not None}
    owners = _changed_by_methods(facts.function, names, setters)
    inner = list(_statements(loop.body, ()))
    ends = [
        around
        for around, statement in inner
        if _leaves(statement) or not names.isdisjoint(_targets(statement)) or _calls_method(statement, owners)
    ]
    if not ends or any(isinstance(part, Call) for part in asked):
        return False
    homes = {id(block) for around, _ in inner for block in around[1:] if _has(block, places)}
    ending = {id(block) for around in ends for block in around}
    return homes <= ending and all(any(id(block) in homes for block in around[1:]) for around in ends)


def _changed_by_methods(function: Function, names: set[str], setters: Callable[[str], Iterable[str]]) -> set[str]:
    """The objects in `names` that method calls may change; attributes of `self` only if another method assigns them."""
    own = function.params[0].name if function.owner is not None and function.params else None
    found: set[str] = set()
    for name in names:
        head, _, rest = name.partition(".")
        others = [setter for setter in setters(rest.partition(".")[0]) if setter != function.qualname] if rest else []
        if head != own or any(not setter.endswith(".__init__") for setter in others):
            found.add(head)
    return found


def _calls_method(statement: Statement, owners: set[str]) -> bool:
    """Whether a statement itself, and no block in it, calls a method of one of these objects."""
    functions = [call.function for part in parts(statement) for call in walk(part) if isinstance(call, Call)]
    return any(
        isinstance(function, Attribute) and (plain(function) or "").partition(".")[0] in owners
        for function in functions
    )


def _innermost(block: Block, span: Span) -> Loop | None:
    """The innermost `while` loop whose body or condition contains a place, with no `for` loop in between."""
    found: Loop | None = None
    for _, statement in _statements(block, ()):
        if isinstance(statement, Loop) and any(
            part.contains(span) for part in (statement.head, *[inner.span for inner in statement.body])
        ):
            found = statement
    return found if found is not None and found.target is None else None


def _statements(block: Block, around: tuple[Block, ...]) -> Iterator[tuple[tuple[Block, ...], Statement]]:
    """Every statement with the blocks that it lies in, outer ones first."""
    path = (*around, block)
    for statement in block:
        yield path, statement
        for inner in blocks(statement):
            yield from _statements(inner, path)


def _leaves(statement: Statement) -> bool:
    return isinstance(statement, Exit) and statement.kind in ("break", "return")


def _targets(statement: Statement) -> set[str]:
    """The targets that a statement assigns, as source text."""
    if not isinstance(statement, Assign):
        return set()
    found: set[str] = set()
    for target in statement.targets:
        name = plain(target)
        if name is not None:
            found.add(name)
        else:
            found |= {part.id for part in walk(target) if isinstance(part, Name)}
    return found


def _has(block: Block, places: Sequence[Span]) -> bool:
    return any(_is_direct(statement, places) for statement in block)


def _is_direct(statement: Statement, places: Sequence[Span]) -> bool:
    """Whether one of the places is in a statement, and not in a block of it."""
    inner = [part.span for block in blocks(statement) for part in block]
    return any(statement.span.contains(place) and not any(span.contains(place) for span in inner) for place in places)
