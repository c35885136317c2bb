"""What runs around a function or a block: decorators, and generators that manage a `with` statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ..domain import symbol as symbols
from ..domain.inlining import Inlining, inline
from ..domain.value import Value
from ..effects import CallSite, Choice, Deferred, Repeat, Yielded, map_term, walk
from .binding import axis_of, guarding
from .expressions import evaluate
from .guards import guard_of
from .scopes import Discarding

if TYPE_CHECKING:
    from ..effects import Item, Term
    from .state import Frame


def around(manager: Term, body: Term) -> Term:
    """The term of a context manager with the body of the `with` statement where it yields."""
    if not _has_yield(manager):
        return (*manager, *body)

    # A manager yields once, whatever loop that is in.
    once = map_term(manager, lambda item: item.body if isinstance(item, Repeat) and _has_yield(item.body) else (item,))
    return map_term(once, lambda item: body if isinstance(item, Yielded) else (item,))


def _has_yield(term: Term) -> bool:
    return any(isinstance(item, Yielded) for item in walk(term))


def decorated(frame: Frame, term: Term) -> Term:
    """The term of a function with that of its decorators around it, the last one innermost."""
    for decorator in reversed(frame.function.decorators):
        if (plain(decorator) or "").rpartition(".")[2] in ("staticmethod", "classmethod", "property"):
            continue
        # It has run where the function was defined; here only what it is counts.
        with Discarding(frame):
            value = evaluate(frame, decorator)
        term = _wrapped(frame, value, term)
    return term


def _wrapped(frame: Frame, value: Value, term: Term) -> Term:
    target = value.reference.target
    if target is None:
        return term
    if target.kind == "external":
        api = frame.context.catalog.apis.get(target.name)
        if api is not None and api.category == "decorator" and term:
            # The body runs on one rank only.
            condition = guarding(frame, axis_of(api.axis), frame.function.span, one=True)
            return (Choice(guard_of(frame, condition, frame.function.span), term, ()),)
        return term
    facts = frame.context.facts(target) if target.kind == "function" else None
    if facts is None or facts.returns is None or facts.returns.reference.target is None or not facts.function.params:
        return term
    wrapper = frame.context.facts(facts.returns.reference.target)
    parameter = facts.function.params[0].name
    if wrapper is None or not _calls(wrapper.term, parameter):
        return term
    own = frame.function
    site = CallSite(own.path, own.qualname, own.span, own.span, wrapper.function.qualname)
    passed = Value(symbols.name("decorated")).referring(runs=term)
    head = wrapper.function.span
    run = Inlining(site, {parameter: passed}, None, lambda value, _: value.reference.runs, head)  # type: ignore[arg-type,return-value]
    return _judged_here(inline(wrapper.summary, run), frozenset(map(id, term)))


def _judged_here(term: Term, wrapped: frozenset[int]) -> Term:
    """The conditions of a wrapper are those of what it wraps, whose items are `wrapped`: it has no collectives itself."""

    def is_own(item: Item) -> bool:
        return id(item) not in wrapped

    def judged(item: Item) -> Term:
        if isinstance(item, Choice) and id(item) not in wrapped:
            return (Choice(item.guard.but(own=bool(item.guard.varies)), item.then, item.orelse),)
        return (item,)

    return map_term(term, judged, is_own)


def _calls(term: Term, parameter: str) -> bool:
    """Whether a decorator's wrapper calls what it decorates."""
    return any(isinstance(item, Deferred) and item.parameter == parameter and not item.method for item in walk(term))
