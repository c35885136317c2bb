"""Files that a loop looks up in every iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Branch, Loop, assignments, blocks
from ..calls.meetings import is_for
from ..calls.path_uses import LOOKS
from ..domain.symbol import attribute, parameter
from ..effects import events
from .file_races import names_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...ir.nodes import Block, Function, Span, Statement
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..effects import Event, Guard
    from ..summary.facts import FunctionFacts


def polling(facts: FunctionFacts, cause: Cause, guard: Guard | None) -> list[tuple[Loop, Span]]:
    """The loops that look up one path and run collectives in every iteration, each with the place of the look-up.

    `guard` is the condition that the result decides, if it is in the function itself.
    """
    sites = [(site, use.path) for site, use in facts.paths.values() if use.use in LOOKS and use.cause == cause]
    if not sites:
        return []
    loops = [statement for statement in statements(facts.function.body) if isinstance(statement, Loop)]
    places = [event.place[0] for event in events(facts.term)] if loops else []
    return [
        (loop, site)
        for loop in loops
        for site, path in sites
        if (holds(loop.body, site) or (loop.target is None and loop.span.contains(site)))
        and any(loop.span.contains(place) for place in places)
        and not made_in(path, facts.function, loop.span)
        and (guard is None or _feeds(loop, site, guard))
    ]


def is_open(facts: FunctionFacts, loop: Loop, site: Span, created: Iterable[Span], event: Event) -> bool:
    """Whether the loop creates the path with no collective before the next iteration's look-up at `site`."""
    places = [
        other.place[0]
        for other in events(facts.term)
        if loop.span.contains(other.place[0]) and is_for(other.group, event.group)
    ]
    return any(
        holds(loop.body, where) and not any(where < place or place < site for place in places) for where in created
    )


def made_in(path: Symbol, function: Function, span: Span) -> bool:
    """Whether a path depends on a value that changes with every iteration of a loop."""
    here = (function.path, function.qualname)
    lines = range(span.line - function.first_line, span.end_line - function.first_line + 1)
    places = [inner.head for inner in path.walk() if inner.kind == "place"]
    if any(_is_element(inner) for inner in path.walk()):
        return True
    return any(head[1:3] == here and head[3] in lines for head in places)


def _is_element(symbol: Symbol) -> bool:
    """Whether it is an element, an index or a key of a container that some loop iterates over."""
    return (symbol.kind == "operation" and symbol.head[0] == "each") or (
        symbol.kind == "name" and symbol.head[0] in ("number", "key")
    )


def _feeds(loop: Loop, site: Span, guard: Guard) -> bool:
    """Whether a condition depends on a call in a loop: it contains it, or a variable assigned from it."""
    tests = [(branch.test, branch.test_span) for branch in branches(loop.body) if branch.test_span.contains(guard.span)]
    tests.append((loop.iterable, loop.head))
    if any(span.contains(site) for _, span in tests):
        return True
    names = set(names_in(test for test, _ in tests))
    made = [item for item in assignments(loop.body) if item.span.contains(site)]
    return any(not names.isdisjoint(names_in(item.targets)) for item in made)


def branches(block: Block) -> Iterator[Branch]:
    """All branches of a block, outer ones first."""
    for statement in statements(block):
        if isinstance(statement, Branch):
            yield statement


def statements(block: Block) -> Iterator[Statement]:
    """All statements of a block, outer ones first."""
    for statement in block:
        yield statement
        for inner in blocks(statement):
            yield from statements(inner)


def holds(block: Block, site: Span) -> bool:
    """Whether a place is in a block."""
    return any(statement.span.contains(site) for statement in block)


def attributes(facts: FunctionFacts) -> dict[Symbol, Symbol]:
    """The assignments of a function to attributes of `self`."""
    function = facts.function
    if function.owner is None or not function.params:
        return {}
    own = parameter(function.params[0].name)
    return {attribute(own, name): value.written for name, value in facts.attributes.items()}
