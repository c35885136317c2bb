"""Groups made by the first call of a function and returned from a cache by later calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ...ir.names import plain
from ...ir.nodes import Assign, Attribute, Branch, Call, Compare, Constant, Exit, Logical, Name, Not
from ...ir.traversal import assignments, blocks, walk
from ..domain.recognise import launched
from ..effects import Choice, Event, Repeat
from ..positions import within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ...ir.nodes import Block, Expr, Function, Span, Statement
    from ..effects import Guard, Item, Term

#: Decorators that keep what a function has returned for the arguments it was given.
_CACHES: Final = ("lru_cache", "cache")
#: Conditions that a place stands under, and whether each holds there.
_Conditions: TypeAlias = "frozenset[tuple[Guard, bool]]"
_NONE: Final[_Conditions] = frozenset()


def keeps(maker: Function, event: Event) -> bool:
    """Whether the function that makes a group stores it and makes no other one when it is called again."""
    if not maker.params and any(_is_cache(decorator) for decorator in maker.decorators):
        return True
    assigned = [plain(target) for made in assignments(maker.body) for target in made.targets]
    for statement, tests in _statements(maker.body, ()):
        if isinstance(statement, Assign) and any(
            isinstance(part, Call) and part.span == event.span for part in walk(statement.value)
        ):
            return any(
                _is_missing(test, target)
                for target in statement.targets
                if _outlives(maker, target) and assigned.count(plain(target)) == 1
                for test in tests
            )
    return False


def made_before(term: Term, event: Event, maker: Function, place: Span, conditions: _Conditions = _NONE) -> bool:
    """Whether all ranks have made an event's group when they reach a place of the function with this term.

    `conditions` are the conditions around the place. `maker` is the function that makes the group.
    """

    def inside(item: Item, number: int, passed: bool) -> bool:
        if not passed or not isinstance(item, Choice):
            # A loop may make no turn.
            return passed and not isinstance(item, Repeat)
        guard, holds = item.guard, number == 0
        own = guard.path == maker.path and maker.span.start <= guard.span.start and guard.span.end <= maker.span.end
        return own or launched(guard.symbol) is holds or (guard, holds) in conditions

    return any(
        passed
        and isinstance(item, Event)
        and (item.path, item.span) == (event.path, event.span)
        and item.place[0].end <= place.start
        for item, passed in within(term, True, inside)
    )


def conditions_of(term: Term, event: Event) -> _Conditions:
    """The conditions around an event of a term."""

    def inside(item: Item, number: int, around: _Conditions) -> _Conditions:
        return around | {(item.guard, number == 0)} if isinstance(item, Choice) else around

    return next((around for item, around in within(term, _NONE, inside) if item is event), _NONE)


def _statements(block: Block, tests: tuple[Expr, ...]) -> Iterator[tuple[Statement, tuple[Expr, ...]]]:
    """The statements of a block, inner ones included, each with the conditions that hold there."""
    for statement in block:
        yield statement, tests
        if isinstance(statement, Branch):
            yield from _statements(statement.then, (*tests, statement.test))
            yield from _statements(statement.orelse, (*tests, Not(statement.test)))
            if statement.then and isinstance(statement.then[-1], Exit):
                tests = (*tests, Not(statement.test))
        else:
            for inner in blocks(statement):
                yield from _statements(inner, tests)


def _outlives(maker: Function, target: Expr) -> bool:
    """Whether an assigned target survives until the next call and is not an attribute of an argument."""
    names = {parameter.name for parameter in maker.params}
    if isinstance(target, Name):
        # Of a local variable nothing can be asked before it is assigned.
        return target.id not in names
    root = (plain(target) or "").partition(".")[0]
    return isinstance(target, Attribute) and bool(root) and (root not in names or root == "cls")


def _is_missing(test: Expr, target: Expr) -> bool:
    """Whether a condition holds only where nothing has been assigned to a target."""
    match test:
        case Compare(left=left, op="is" | "==", right=Constant(value=None)):
            return left == target
        case Logical(op="and", values=values):
            return any(_is_missing(value, target) for value in values)
        case Not(value=value):
            return _is_there(value, target)
        case _:
            return False


def _is_there(test: Expr, target: Expr) -> bool:
    """Whether a condition holds wherever something has been assigned to a target."""
    match test:
        case Compare(left=left, op="is not" | "!=", right=Constant(value=None)):
            return left == target
        case Call(function=Name(id="hasattr"), args=(owner, Constant(value=name))):
            return isinstance(target, Attribute) and (target.value, target.name) == (owner, name)
        case Not(value=value):
            return _is_missing(value, target)
        case Logical(op="or", values=values):
            return any(_is_there(value, target) for value in values)
        case _:
            return test == target


def _is_cache(decorator: Expr) -> bool:
    name = plain(decorator.function if isinstance(decorator, Call) else decorator) or ""
    return name.rpartition(".")[2] in _CACHES
