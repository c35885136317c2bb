"""The summary of a function: what other functions can see of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Span
    from ..domain.causes import Cause
    from ..domain.value import Value
    from ..effects import Term


@dataclass(frozen=True, slots=True)
class Writing:
    """What a function writes to without looking which rank it is; `depends` are the parameters that the path is made of."""

    cause: Cause
    depends: frozenset[str]


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
    share of a size. `fallible`: what may fail in it on one rank alone. `calls`: the parameters that it calls.
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


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """What the text of a class says, without interpreting it.

    `assigned`: attribute -> the methods that assign it on `self`; `handlers`: the methods that it registers as signal
    handlers, with where they stand.
    """

    assigned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    handlers: Mapping[str, Span] = field(default_factory=dict)
