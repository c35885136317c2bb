"""Code around a function or a block: decorators, and generators used as context managers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.names import plain
from ..domain import symbol as symbols
from ..domain.inlining import Inlining, inline
from ..domain.value import Value
from ..effects import CallSite, Choice, Deferred, Repeat, Yielded, catches_around_yield, map_term, walk
from ..positions import within
from .binding import axis_of, guarding
from .expressions import evaluate
from .guards import guard_of
from .scopes import Discarding

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ...catalog.model import Api
    from ..effects import Item, Term
    from ..summary.facts import FunctionFacts
    from .state import Frame


def around(manager: Term, body: Term) -> Term:
    """The term of a context manager with the body of the `with` statement where it yields."""
    if not _has_yield(manager):
        return (*manager, *body)

    # A manager yields once, whatever loop that is in.
    once = map_term(manager, lambda item: item.body if isinstance(item, Repeat) and _has_yield(item.body) else (item,))
    # What a handler of the manager catches around its `yield`, it catches of the body.
    own = map_term(once, lambda item: (_of_body(item),))
    return map_term(own, lambda item: body if isinstance(item, Yielded) else (item,))


def _of_body(item: Item) -> Item:
    if isinstance(item, Choice) and catches_around_yield(item):
        return Choice(item.guard.but(own=True), item.then, item.orelse)
    return item


def _has_yield(term: Term) -> bool:
    return any(isinstance(item, Yielded) for item in walk(term))


def decorators(frame: Frame) -> list[Value]:
    """The values of a function's decorators, innermost (last) first."""
    found = []
    for decorator in reversed(frame.function.decorators):
        if (plain(decorator) or "").rpartition(".")[2] not in ("staticmethod", "classmethod", "property"):
            # It has run where the function was defined; here only what it is counts.
            with Discarding(frame):
                found.append(evaluate(frame, decorator))
    return found


def run_by_some(frame: Frame, values: Iterable[Value]) -> bool:
    """Whether some decorator runs the function on some ranks only."""
    return any(_of_library(frame, value) is not None or _lets_some_in(frame, value) for value in values)


def _lets_some_in(frame: Frame, value: Value) -> bool:
    known = _wrapper(frame, value)
    if known is None:
        return False
    wrapper, parameter = known

    def inside(item: Item, number: int, arm: int | None) -> int | None:
        by_rank = isinstance(item, Choice) and any(cause.kind == "rank" for cause in item.guard.causes)
        return number if arm is None and by_rank else arm

    everywhere: int | None = None
    found = within(wrapper.term, everywhere, inside)
    arms = {arm for item, arm in found if isinstance(item, Deferred) and item.parameter == parameter}
    return len(arms) == 1 and None not in arms


def decorated(frame: Frame, values: Iterable[Value], term: Term) -> Term:
    """The term of a function with that of its decorators around it."""
    for value in values:
        term = _wrapped(frame, value, term)
    return term


def _of_library(frame: Frame, value: Value) -> Api | None:
    """The library decorator that runs its function on one rank; None for all others."""
    target = value.reference.target
    api = frame.context.catalog.apis.get(target.name) if target is not None and target.kind == "external" else None
    return api if api is not None and api.category == "decorator" else None


def _wrapper(frame: Frame, value: Value) -> tuple[FunctionFacts, str] | None:
    """The wrapper function that a decorator of the program returns, and its name for the decorated function."""
    target = value.reference.target
    facts = frame.context.facts(target) if target is not None and target.kind == "function" else None
    if facts is None or facts.returns is None or facts.returns.reference.target is None or not facts.function.params:
        return None
    wrapper = frame.context.facts(facts.returns.reference.target)
    parameter = facts.function.params[0].name
    return (wrapper, parameter) if wrapper is not None and _calls(wrapper.term, parameter) else None


def _wrapped(frame: Frame, value: Value, term: Term) -> Term:
    api = _of_library(frame, value)
    if api is not None and term:
        # The body runs on one rank only.
        condition = guarding(frame, axis_of(api.axis), frame.function.span, one=True)
        return (Choice(guard_of(frame, condition, frame.function.span), term, ()),)
    found = _wrapper(frame, value)
    if found is None:
        return term
    wrapper, parameter = found
    own = frame.function
    site = CallSite(own.path, own.qualname, own.span, own.span, wrapper.function.qualname)
    passed = Value(symbols.name("decorated")).referring(runs=term)
    head = wrapper.function.span
    run = Inlining(site, {parameter: passed}, None, lambda value, _: value.reference.runs, head)  # type: ignore[arg-type,return-value]
    return _judged_here(inline(wrapper.summary, run), frozenset(map(id, term)))


def _judged_here(term: Term, wrapped: frozenset[int]) -> Term:
    """A wrapper's conditions, to be judged in the function it wraps, whose items are `wrapped`."""

    def is_own(item: Item) -> bool:
        return id(item) not in wrapped

    def judged(item: Item) -> Term:
        if isinstance(item, Choice) and id(item) not in wrapped:
            return (Choice(item.guard.but(own=bool(item.guard.varies)), item.then, item.orelse),)
        return (item,)

    return map_term(term, judged, is_own)


def _calls(term: Term, parameter: str) -> bool:
    """Whether a decorator's wrapper calls the decorated function."""
    return any(isinstance(item, Deferred) and item.parameter == parameter and not item.method for item in walk(term))
