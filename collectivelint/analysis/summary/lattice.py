"""The lattice of summaries: how the fixpoint of a circle of functions compares, joins and widens them.

Effect terms have three levels: no collective, one term, and a set of collectives in unknown order. Values are joined as
in the arms of a branch. Everything else keeps its first value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from ..domain.joining import join as join_values
from ..domain.symbol import Symbol, attribute, make
from ..domain.value import Value
from ..effects import Repeat, events
from .facts import FunctionFacts
from .observed import MOST_PATHS, ParameterEffect, Summary

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..domain.causes import Cause
    from ..effects import Event, Term
    from .fixpoint import Key
    from .observed import ClassFacts, PathUse

#: What the solver computes: facts of functions, attributes, closures, causes.
Fact: TypeAlias = "FunctionFacts | ClassFacts | Value | Mapping[str, Value] | Cause | None"
_T = TypeVar("_T")

#: A set of collectives has so many of them at most.
_MOST_EVENTS: Final = 200
_BOTTOM: Final = Summary()


# ---------------------------------------------------------------------------------------------------------- effects


def join_effects(one: Term, other: Term) -> Term:
    """The least effect that covers both: one of them, or the set of their collectives."""
    if one == other or not other:
        return one
    return _any_order((*events(one), *events(other))) if one else other


def _any_order(found: Iterable[Event]) -> Term:
    """A loop over a set of collectives in unknown order: one for each token."""
    least: dict[tuple[str, Symbol, str], Event] = {}
    for event in found:
        known = least.get(event.token)
        if known is None or _place(event) < _place(known):
            least[event.token] = event
    chosen = [least[token] for token in sorted(least, key=_order)][:_MOST_EVENTS]
    return (Repeat(make("loop", ("any order", _name(chosen))), tuple(chosen)),)


def _order(token: tuple[str, Symbol, str]) -> tuple[str, bytes, str]:
    """A sort key that is the same in every process."""
    return token[0], token[1].digest, token[2]


def _place(event: Event) -> tuple[object, ...]:
    sites = tuple((site.path, site.function, site.span, site.callee) for site in event.chain)
    return (len(sites), event.path, event.span, event.partial, event.kind, sites)


def _name(chosen: Iterable[Event]) -> str:
    return " ".join(f"{event.op}@{event.path}:{event.span.line}:{event.span.column}" for event in chosen)


def effect_leq(one: Term, other: Term) -> bool:
    """Whether the second effect covers the first."""
    return join_effects(one, other) == other


# ------------------------------------------------------------------------------------------------------- summaries


def join(one: Summary, other: Summary, fresh: Symbol) -> Summary:
    """An upper bound of two summaries of one function; `fresh` names values that differ between them."""
    return Summary(
        effect=join_effects(one.effect, other.effect),
        returns=_joined(one.returns, other.returns, fresh),
        attributes=_joined_all(one.attributes, other.attributes, fresh),
        variables=_joined_all(one.variables, other.variables, fresh),
        parameters=_joined_parameters(one.parameters, other.parameters),
        writing=one.writing or other.writing,
        share=one.share or other.share,
        fallible=one.fallible or other.fallible,
        calls=_united(one.calls, other.calls),
        paths=_joined_paths(one.paths, other.paths),
        seed=_joined(one.seed, other.seed, fresh),
        meetings=one.meetings or other.meetings,
    )


def leq(one: Summary, other: Summary, fresh: Symbol) -> bool:
    """Whether the second summary is at least the first one."""
    return join(other, one, fresh) == other


def _joined(one: Value | None, other: Value | None, fresh: Symbol) -> Value | None:
    if one is None or other is None:
        return other if one is None else one
    return join_values(one, other, fresh)


def _joined_all(one: Mapping[str, Value], other: Mapping[str, Value], fresh: Symbol) -> dict[str, Value]:
    found = dict(one)
    for name, value in other.items():
        known = found.get(name)
        found[name] = value if known is None else join_values(known, value, attribute(fresh, name))
    return found


def _joined_parameters(one: ParameterEffect, other: ParameterEffect) -> ParameterEffect:
    return ParameterEffect(
        uniform=_united(one.uniform, other.uniform),
        roots=_united(one.roots, other.roots),
        whole=_united(one.whole, other.whole),
        changed=one.changed or other.changed,
        gathered=_united(one.gathered, other.gathered),
        sets=_united(one.sets, other.sets),
    )


def _joined_paths(one: tuple[PathUse, ...], other: tuple[PathUse, ...]) -> tuple[PathUse, ...]:
    known: dict[object, PathUse] = {}
    for use in (*one, *other):
        known.setdefault(use.key, use)
    return tuple(known.values())[:MOST_PATHS]


def _united(one: tuple[_T, ...], other: tuple[_T, ...]) -> tuple[_T, ...]:
    return tuple(dict.fromkeys((*one, *other)))


# ----------------------------------------------------------------------------------------------------------- facts


class Facts:
    """The lattice of all that the solver computes: facts of functions, values of attributes, causes."""

    @staticmethod
    def same(one: Fact, other: Fact) -> bool:
        """Whether two facts say the same to the functions that read them."""
        if isinstance(one, FunctionFacts) and isinstance(other, FunctionFacts):
            return one is other or one.observed() == other.observed()
        for nothing, found in ((one, other), (other, one)):
            if nothing is None and isinstance(found, FunctionFacts):
                # Decorators may make something else of it than a function without an effect.
                return not found.function.decorators and found.observed() == _BOTTOM
        return one == other

    @staticmethod
    def widen(key: Key, old: Fact, new: Fact) -> Fact:
        """An upper bound of both; values that differ get one symbol named after the fact, and so stop growing."""
        fresh = make("name", ("fact", *key))
        if isinstance(old, FunctionFacts) and isinstance(new, FunctionFacts):
            return new.widened(join(old.observed(), new.observed(), fresh))
        if isinstance(old, Value) and isinstance(new, Value):
            return join_values(old, new, fresh)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            return _joined_all(old, new, fresh)
        return old or new
