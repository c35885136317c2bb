"""Configurations that the constructor of an object refuses with an exception: no method runs in one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Exit, Try, blocks
from ..domain.normalise import continued
from ..domain.symbol import Symbol, attribute, both, compare, make, parameter
from ..domain.value import UNKNOWN
from ..effects import Choice, Leave
from ..positions import within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ...ir.nodes import Block, Function, Span
    from ..domain.value import Value
    from ..effects import Item, Term


#: So many conditions are kept.
_MOST: Final = 8
#: The methods that run when an object is made.
CONSTRUCTORS: Final = ("__init__", "__post_init__")


def refused(function: Function, term: Term, attributes: Mapping[str, Value]) -> tuple[Symbol, ...]:
    """The conditions under which a constructor raises, if they concern values that it stores in attributes.

    `term` is the constructor's term with its exits, and `attributes` are the attributes' values.
    """
    if function.owner is None or function.qualname.rpartition(".")[2] not in CONSTRUCTORS or not function.params:
        return ()
    own = parameter(function.params[0].name)
    kept = {
        value.symbol: attribute(own, name)
        for name, value in attributes.items()
        if value.constant is UNKNOWN and not value.uniformity.varies
    }
    caught = {*_caught(function.body, is_tried=False)}
    found: list[Symbol] = []
    nowhere: tuple[Symbol, ...] | None = ()
    for item, conditions in within(continued(term), nowhere, _inside):
        if isinstance(item, Leave) and item.kind == "raise" and conditions and item.span not in caught:
            condition = both("and", [_said_of(part, kept) for part in conditions])
            if not condition.has_place and condition.parameters == own.parameters:
                found.append(condition)
    return tuple(found[:_MOST])


def attributes_in(condition: Symbol) -> frozenset[str]:
    """The attributes of parameters in a condition."""
    return frozenset(
        str(part.head[0])
        for part in condition.walk()
        if part.kind == "attribute" and part.args[0].parameter is not None
    )


def _caught(block: Block, *, is_tried: bool) -> Iterator[Span]:
    """The `raise` statements in the body of a `try` that has handlers."""
    for statement in block:
        if isinstance(statement, Exit) and is_tried:
            yield statement.span
        for inner in blocks(statement):
            is_body = isinstance(statement, Try) and bool(statement.handlers) and inner is statement.body
            yield from _caught(inner, is_tried=is_tried or is_body)


def _inside(item: Item, number: int, conditions: tuple[Symbol, ...] | None) -> tuple[Symbol, ...] | None:
    """The conditions that are true in an arm; None where ranks, or iterations of a loop, differ in them."""
    if conditions is None or not isinstance(item, Choice) or item.guard.varies:
        return None
    return (*conditions, item.guard.symbol if number == 0 else item.guard.symbol.negate())


def _said_of(condition: Symbol, kept: Mapping[Symbol, Symbol]) -> Symbol:
    """A condition on a constructor's values, rewritten to the attributes that store them."""
    known = kept.get(condition)
    if known is not None:
        return known
    args = [_said_of(part, kept) for part in condition.args]
    match condition.kind:
        case "not":
            return args[0].negate()
        case "and" | "or":
            return both(condition.kind, args)
        case "compare":
            return compare(str(condition.head[0]), args[0], args[1])
        case _:
            return make(condition.kind, condition.head, tuple(args))
