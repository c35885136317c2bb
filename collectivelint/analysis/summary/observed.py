"""The summary of a function: what other functions can see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Span
    from ..domain.causes import Cause
    from ..domain.value import Value
    from ..effects import Term


class Writing(Record):
    """What a function writes to without looking which rank it is; `depends` are the parameters that the path is made of."""

    __slots__ = ("cause", "depends")

    def __init__(self, cause: Cause, depends: frozenset[str]) -> None:
        self.cause: Final = cause
        self.depends: Final = depends

    def _fields(self) -> tuple[object, ...]:
        return (self.cause, self.depends)


class ParameterEffect(Record):
    """What a function does to what it is passed.

    `uniform`: the parameters that hold the same on all ranks of a group afterwards; `roots` those that are the root of a
    collective; `whole` those that one rank writes as if they were the whole model, with where. `changed`: where a tensor
    is changed that was passed in.
    """

    __slots__ = ("changed", "roots", "uniform", "whole")

    def __init__(
        self,
        uniform: tuple[str, ...] = (),
        roots: tuple[str, ...] = (),
        whole: tuple[tuple[str, Cause], ...] = (),
        changed: Cause | None = None,
    ) -> None:
        self.uniform: Final = uniform
        self.roots: Final = roots
        self.whole: Final = whole
        self.changed: Final = changed

    def _fields(self) -> tuple[object, ...]:
        return (self.uniform, self.roots, self.whole, self.changed)


NO_EFFECT: Final = ParameterEffect()


class Summary(Record):
    """What the functions that call a function, or use the class or the module it belongs to, can see of it.

    `effect` is its term as callers inline it; `attributes` what it assigns on `self`; `variables` those of a module.
    `writing`: the path that all ranks that call it write to. `share`: where a parameter of a model is made of one rank's
    share of a size. `fallible`: what may fail in it on one rank alone. `calls`: the parameters that it calls.
    """

    __slots__ = ("attributes", "calls", "effect", "fallible", "parameters", "returns", "share", "variables", "writing")

    def __init__(
        self,
        effect: Term = (),
        returns: Value | None = None,
        attributes: Mapping[str, Value] | None = None,
        variables: Mapping[str, Value] | None = None,
        parameters: ParameterEffect = NO_EFFECT,
        writing: Writing | None = None,
        share: Cause | None = None,
        fallible: Cause | None = None,
        calls: tuple[str, ...] = (),
    ) -> None:
        self.effect: Final = effect
        self.returns: Final = returns
        self.attributes: Final[Mapping[str, Value]] = {} if attributes is None else attributes
        self.variables: Final[Mapping[str, Value]] = {} if variables is None else variables
        self.parameters: Final = parameters
        self.writing: Final = writing
        self.share: Final = share
        self.fallible: Final = fallible
        self.calls: Final = calls

    def _fields(self) -> tuple[object, ...]:
        return (
            self.effect,
            self.returns,
            self.attributes,
            self.variables,
            self.parameters,
            self.writing,
            self.share,
            self.fallible,
            self.calls,
        )


class ClassFacts(Record):
    """What the text of a class says, without interpreting it.

    `assigned`: attribute -> the methods that assign it on `self`; `handlers`: the methods that it registers as signal
    handlers, with where they stand.
    """

    __slots__ = ("assigned", "handlers")

    def __init__(
        self, assigned: Mapping[str, tuple[str, ...]] | None = None, handlers: Mapping[str, Span] | None = None
    ) -> None:
        self.assigned: Final[Mapping[str, tuple[str, ...]]] = {} if assigned is None else assigned
        self.handlers: Final[Mapping[str, Span]] = {} if handlers is None else handlers

    def _fields(self) -> tuple[object, ...]:
        return (self.assigned, self.handlers)
