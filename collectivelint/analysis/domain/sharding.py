"""Tests whether a value is sharded over the ranks: the code behind one runs only for sharded values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..effects import Choice, guards, map_term, walk
from .symbol import operation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...ir.nodes import Function
    from ..effects import Item, Term
    from .symbol import Symbol
    from .value import Value

_TEST: Final = "is sharded"


def sharding_test(subjects: Sequence[Symbol], elements: Mapping[Symbol, Symbol]) -> Symbol:
    """The condition that a subject is sharded; for a loop element, also the container it comes from, by `elements`."""
    known = [*subjects]
    for around in known:
        # What is appended here is looked at in its turn.
        bound = [elements[part] for part in around.walk() if part in elements]
        known += [container for container in bound if container not in known]
    return operation(_TEST, known)


def is_sharding_test(symbol: Symbol) -> bool:
    """Whether a condition is such a test."""
    return symbol.kind == "operation" and symbol.head[0] == _TEST


def either_test(one: Symbol, other: Symbol) -> Symbol:
    """The condition that one thing or the other is sharded."""
    return operation(_TEST, tuple(dict.fromkeys((*one.args, *other.args))))


def is_shown(symbol: Symbol, arguments: Mapping[str, Value]) -> bool:
    """Whether one of the arguments that the test is about is known to be sharded."""
    return is_sharding_test(symbol) and any(
        name in arguments and is_sharded(arguments[name]) for name in symbol.parameters
    )


def is_sharded(value: Value) -> bool:
    """Whether a framework has sharded the value, or the value that it is part of."""
    return value.origin.sharded is not None and value.origin.sharded.kind == "framework"


def asks_what_is_shown(item: Choice, arguments: Mapping[str, Value]) -> bool:
    """Whether a choice contains a test of an argument that is known to be sharded."""
    return any(isinstance(inner, Choice) and is_shown(inner.guard.symbol, arguments) for inner in walk((item,)))


def without_sharded(term: Term, function: Function) -> Term:
    """The term for values that are not sharded: without what callees run behind a test for sharded ones.

    A test in the function itself shows that it is meant for sharded values: it stays.
    """
    if not any(is_sharding_test(guard.symbol) for guard in guards(term)):
        return term

    def unsharded(item: Item) -> Term:
        if isinstance(item, Choice) and is_sharding_test(item.guard.symbol):
            span, own = item.guard.statement, function.span
            inside = item.guard.path == function.path and own.start <= span.start and span.end <= own.end
            return (item,) if inside else item.orelse
        return (item,)

    return map_term(term, unsharded)
