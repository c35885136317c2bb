"""The summary of a function: what other functions can see of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Span
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..effects import Term


@dataclass(frozen=True, slots=True)
class Writing:
    """What a function writes to without looking which rank it is; `depends` are the parameters that the path is made of.

    It does so only where the conditions `when` are true, which speak of its parameters.
    """

    cause: Cause
    depends: frozenset[str]
    when: tuple[Symbol, ...] = ()


@dataclass(frozen=True, slots=True)
class PathUse:
    """What a call does to a path: `use` is one of those of `FileApi`, or "given" for a path passed to an unknown call.

    `path` is the path as the function at hand knows it, `cause` the call. `alone`: a condition on ranks leads to it. `met`
    counts the collectives that come before it in the function.
    """

    use: str
    path: Symbol
    cause: Cause
    alone: bool
    met: int

    @property
    def key(self) -> tuple[Cause, str, Symbol]:
        """What is the same in every turn of a loop, and on every way."""
        return self.cause, self.use, self.path


#: Uses of paths in order, by key, with the call of the function at hand that each of them is or comes from.
PathUses: TypeAlias = "dict[tuple[Cause, str, Symbol], tuple[Span, PathUse]]"
#: A function is known to its callers by what it does to so many paths at most.
MOST_PATHS: Final = 12


def first_uses(paths: PathUses) -> tuple[PathUse, ...]:
    """What the callers of a function see of what it does to paths."""
    if not paths:
        return ()
    return tuple(use for _, use in paths.values() if use.use != "given")[:MOST_PATHS]


def widened_uses(paths: PathUses, seen: tuple[PathUse, ...]) -> PathUses:
    """The same uses, with those first that callers are to see."""
    first = {use.key: (paths[use.key][0] if use.key in paths else use.cause.span, use) for use in seen}
    return first | {key: found for key, found in paths.items() if key not in first}


@dataclass(frozen=True, slots=True)
class ParameterEffect:
    """What a function does to what it is passed.

    `uniform`: the parameters that hold the same on all ranks of a group afterwards; `roots` those that are the root of a
    collective; `whole` those that one rank writes as if they were the whole model, with where. `changed`: where a tensor
    is changed that was passed in.
    """

    uniform: tuple[str, ...] = ()
    roots: tuple[str, ...] = ()
    whole: tuple[tuple[str, Cause], ...] = ()
    changed: Cause | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What the functions that call a function, or use the class or the module it belongs to, can see of it.

    `effect` is its term as callers inline it; `attributes` what it assigns on `self`; `variables` those of a module.
    `writing`: the path that all ranks that call it write to. `share`: where a parameter of a model is made of one rank's
    share of a size. `fallible`: what may fail in it on one rank alone. `calls`: the parameters that it calls. `paths`:
    what it does to paths, in order.
    """

    effect: Term = ()
    returns: Value | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    variables: Mapping[str, Value] = field(default_factory=dict)
    parameters: ParameterEffect = ParameterEffect()
    writing: Writing | None = None
    share: Cause | None = None
    fallible: Cause | None = None
    calls: tuple[str, ...] = ()
    paths: tuple[PathUse, ...] = ()


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What the text of a class says, without interpreting it.

    `assigned`: attribute -> the methods that assign it on `self`; `handlers`: the methods that it registers as signal
    handlers, with where they stand.
    """

    assigned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    handlers: Mapping[str, Span] = field(default_factory=dict)
