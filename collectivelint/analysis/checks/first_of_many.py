"""State of one of many: only the first element is saved, or a fall-back is read after the rank's own file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import (
    Assign,
    Attribute,
    Call,
    Compound,
    Comprehension,
    Constant,
    Exit,
    Loop,
    Name,
    Subscript,
    Try,
    blocks,
    expressions,
    walk,
)
from .file_polling import statements
from .file_races import conditions_around, names_in

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from ...ir.nodes import Block, Expr, Span
    from ..summary.facts import FunctionFacts

#: Functions that run over all elements of their arguments.
_OVER_ALL: Final = frozenset({"map", "zip", "enumerate", "list", "tuple", "iter"})


def first_saved(facts: FunctionFacts) -> Iterator[tuple[Call, Expr]]:
    """Calls that take the state of the first element alone, each with what another branch takes the state of whole."""
    body = facts.function.body
    # What is made of the state on the way, such as a copy to compare with, need not be a checkpoint.
    kept = [
        item.value for item in statements(body) if isinstance(item, Assign) or (isinstance(item, Exit) and item.value)
    ]
    found = [
        (call, call.function.value.value)
        for call in kept
        if isinstance(call, Call)
        and isinstance(call.function, Attribute)
        and call.function.name == "state_dict"
        and isinstance(call.function.value, Subscript)
        and call.function.value.index == Constant(0)
    ]
    for call, owner in found:
        around = conditions_around(facts.function, call.span)
        # `if len(parts) == 1`: there are no others.
        asked = any(
            isinstance(part, Call) and part.function == Name("len") and owner in part.args
            for test in around
            for part in walk(test)
        )
        whole = next((other for other in _taken_whole(body) if other == owner), None)
        if around and not asked and whole is not None:
            yield call, whole


def _taken_whole(block: Block) -> Iterator[Expr]:
    """The iterables of a block's loops and comprehensions, and the arguments of its calls that use all elements."""
    for statement in statements(block):
        if isinstance(statement, Loop):
            yield statement.iterable
    for expr in expressions(block):
        match expr:
            case Comprehension(iterables=iterables):
                yield from iterables
            case Call(function=Name(id=name), args=args) if name in _OVER_ALL:
                yield from args


def replaced_by_fallback(facts: FunctionFacts, ranks: Collection[str]) -> Iterator[tuple[Loop, Assign]]:
    """Loops over this rank's own file and a fall-back that do not stop at the first readable one."""
    read = {site for site, use in facts.paths.values() if use.use == "read"}
    if not read:
        return
    asked = {call.span for call in facts.calls if call.api.category == "rank_source"}
    for loop in statements(facts.function.body):
        if not (isinstance(loop, Loop) and isinstance(loop.iterable, Compound) and isinstance(loop.target, Name)):
            continue
        own = [_is_own(part, asked, ranks) for part in loop.iterable.parts]
        if loop.iterable.kind not in ("Tuple", "List") or own[:1] != [True] or all(own) or _stops(loop.body):
            continue
        for statement in statements(loop.body):
            if isinstance(statement, Try) and not any(_stops(block) for block in blocks(statement)):
                made = [part for part in statement.body if isinstance(part, Assign)]
                yield from ((loop, part) for part in made if any(part.span.contains(span) for span in read))


def _is_own(expr: Expr, asked: Collection[Span], ranks: Collection[str]) -> bool:
    """Whether a rank is written into a path."""
    called = any(isinstance(part, Call) and part.span in asked for part in walk(expr))
    return called or any(name.lower().removeprefix("get_") in ranks for name in names_in((expr,)))


def _stops(block: Block) -> bool:
    """Whether a block ends the loop around it somewhere."""
    return any(isinstance(part, Exit) and part.kind in ("break", "return") for part in statements(block))
