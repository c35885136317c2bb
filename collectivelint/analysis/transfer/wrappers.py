"""What runs around a function or a block: decorators, and generators that manage a `with` statement."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from ..domain.value import WORLD, Value
from ..effects import CallSite, Choice, Deferred, Inlining, Repeat, Yielded, inline
from .binding import guarding, plain
from .expressions import evaluate, guard_of
from .scopes import Discarding

if TYPE_CHECKING:
    from ..effects import Item, Term
    from .state import Frame


def around(manager: Term, body: Term) -> Term:
    """The term of a context manager with the body of the `with` statement where it yields."""
    if not _has_yield(manager):
        return (*manager, *body)
    found: list[Item] = []
    for item in manager:
        match item:
            case Yielded():
                found.extend(body)
            case Choice(guard=guard, then=then, orelse=orelse) if _has_yield((item,)):
                found.append(Choice(guard, around(then, body), around(orelse, body)))
            case Repeat(body=inner) if _has_yield((item,)):
                found.extend(around(inner, body))
            case _:
                found.append(item)
    return tuple(found)


def _has_yield(term: Term) -> bool:
    for item in term:
        match item:
            case Yielded():
                return True
            case Choice(then=then, orelse=orelse) if _has_yield(then) or _has_yield(orelse):
                return True
            case Repeat(body=body) if _has_yield(body):
                return True
    return False


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
    target = value.target
    if target is None:
        return term
    if target.kind == "external":
        api = frame.context.catalog.apis.get(target.name)
        if api is not None and api.category == "decorator" and term:
            # The body runs on one rank only.
            condition = guarding(frame, api.axis or WORLD, frame.function.span, one=True)
            return (Choice(guard_of(frame, condition, frame.function.span), term, ()),)
        return term
    facts = frame.context.facts(target) if target.kind == "function" else None
    if facts is None or facts.returns is None or facts.returns.target is None or not facts.function.params:
        return term
    wrapper = frame.context.facts(facts.returns.target)
    parameter = facts.function.params[0].name
    if wrapper is None or not _calls(wrapper.term, parameter):
        return term
    own = frame.function
    site = CallSite(own.path, own.qualname, own.span, own.span, wrapper.function.qualname)
    passed = Value("decorated", runs=term)
    head = wrapper.function.span
    run = Inlining(site, {parameter: passed}, lambda form: form, lambda value: value.runs, head)  # type: ignore[arg-type,return-value]
    return _judged_here(inline(wrapper.summary, run), frozenset(map(id, term)))


def _judged_here(term: Term, wrapped: frozenset[int]) -> Term:
    """The conditions of a wrapper are those of what it wraps, whose items are `wrapped`: it has no collectives itself."""
    found: list[Item] = []
    for item in term:
        match item:
            case _ if id(item) in wrapped:
                found.append(item)
            case Choice(guard=guard, then=then, orelse=orelse):
                arms = _judged_here(then, wrapped), _judged_here(orelse, wrapped)
                found.append(Choice(replace(guard, own=bool(guard.varies)), *arms))
            case Repeat(body=body):
                found.append(replace(item, body=_judged_here(body, wrapped)))
            case _:
                found.append(item)
    return tuple(found)


def _calls(term: Term, parameter: str) -> bool:
    """Does a decorator's wrapper call what it decorates?"""
    for item in term:
        match item:
            case Deferred(parameter=name) if name == parameter:
                return True
            case Choice(then=then, orelse=orelse) if _calls(then, parameter) or _calls(orelse, parameter):
                return True
            case Repeat(body=body) if _calls(body, parameter):
                return True
    return False
