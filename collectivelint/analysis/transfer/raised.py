"""Exceptions by class: what a `raise` raises, what a handler catches, and the term after it is caught."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final

from ...ir.nodes import Call, Compound
from ..domain.normalise import continued
from ..effects import Leave, Repeat, is_choice, map_term, size, walk
from .expressions import evaluate
from .scopes import Discarding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...ir.nodes import Expr
    from ..effects import Item, Term
    from .state import Frame

#: A handler as names of the classes it catches (None: of all), and what it does.
Handler = tuple["frozenset[str] | None", "Term"]

_ALL: Final = frozenset({"BaseException"})
#: Of a longer term what follows a `raise` is not left out.
_MOST_CAUGHT: Final = 60


def classes_of(frame: Frame, value: Expr | None) -> frozenset[str]:
    """The names of the class of a raised exception and of its bases; empty where they are not known."""
    if value is None:
        return frozenset()
    with Discarding(frame):
        target = evaluate(frame, value.function if isinstance(value, Call) else value).reference.target
    if target is None:
        return frozenset()
    if target.kind == "class":
        program = frame.context.program
        own = [base.name.rpartition(".")[2] for base in program.bases(target)]
        found = frozenset(own).union(*(_built_in(name) for name in program.outside(target)))
        return found if "BaseException" in found else frozenset()
    return _built_in(target.name) if target.kind == "external" else frozenset()


def _built_in(name: str) -> frozenset[str]:
    """The names of an exception of Python's own and of its bases."""
    found: object = getattr(builtins, name.removeprefix("builtins."), None)
    if isinstance(found, type) and issubclass(found, BaseException):
        return frozenset(base.__name__ for base in found.__mro__)
    return frozenset()


def caught_by(frame: Frame, kind: Expr | None) -> frozenset[str] | None:
    """The names of the classes that a handler catches; None if it catches all or is not known."""
    if kind is None:
        return None
    found: set[str] = set()
    for part in kind.parts if isinstance(kind, Compound) else (kind,):
        target = evaluate(frame, part).reference.target
        if target is None:
            return None
        found.add(target.name.rpartition(".")[2])
    return None if found & _ALL else frozenset(found)


def handled(term: Term, handlers: Sequence[Handler], after: Term = ()) -> Term:
    """The body of a `try`, with each `raise` replaced by the first handler that catches it; `after` is its `else`."""
    if not any(_handler_of(item, handlers) is not None for item in walk(term)):
        return (*term, *after)
    #: An `else` has no handlers.
    beyond = {id(item) for item in walk(after)}

    def change(item: Item) -> Term:
        if isinstance(item, Repeat) and id(item) not in beyond:
            # How often it has run by then is not known: only that it is no exception of the function.
            body = map_term(item.body, lambda inner: (_uncaught(inner, handlers),))
            return (item.with_body(body),)
        found = None if id(item) in beyond else _handler_of(item, handlers)
        return (item,) if found is None else found

    explicit = map_term(
        (*term, *after),
        lambda item: (item,),
        is_choice,
        lambda part: continued(part) if size(part) < _MOST_CAUGHT else part,
    )
    return map_term(explicit, change, is_choice)


def _uncaught(item: Item, handlers: Sequence[Handler]) -> Item:
    return item if _handler_of(item, handlers) is None else Leave("raise")


def _handler_of(item: Item, handlers: Sequence[Handler]) -> Term | None:
    """The term of the handler that catches an item's exception; None for other items, and if no handler does."""
    if not isinstance(item, Leave) or item.kind != "raise":
        return None
    for names, term in handlers:
        if names is None or not item.raised or not names.isdisjoint(item.raised):
            return term
    return None
