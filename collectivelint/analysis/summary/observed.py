"""The summary of a function: what other functions can see of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...ir.nodes import Span
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..domain.uniformity import Uniformity
    from ..domain.value import Value
    from ..effects import Term


class Writing(Record):
    """A write to a path without regard to the rank; `depends` are the parameters that the path is built from.

    It happens only where the conditions `when`, on the function's parameters, are true.
    """

    __slots__ = ("cause", "depends", "when")

    def __init__(self, cause: Cause, depends: frozenset[str], when: tuple[Symbol, ...] = ()) -> None:
        self.cause: Final = cause
        self.depends: Final = depends
        self.when: Final = when

    def _fields(self) -> tuple[object, ...]:
        return (self.cause, self.depends, self.when)


class Meeting(Record):
    """A synchronous collective on `group`, which is reached where the conditions `when` hold."""

    __slots__ = ("group", "when")

    def __init__(self, group: Symbol, when: tuple[Symbol, ...]) -> None:
        self.group: Final = group
        self.when: Final = when

    def _fields(self) -> tuple[object, ...]:
        return (self.group, self.when)


class PathUse(Record):
    """A call that uses a path: `use` is one of those of `FileApi`, or "given" for a path passed to an unknown call.

    `path` is the path as the current function knows it, `cause` the call. `alone`: a condition on ranks leads to it.
    `met` counts the meetings of the function that come before it, `when` are the conditions that are true there. `own`:
    each rank has a path of its own there.
    """

    __slots__ = ("alone", "cause", "met", "own", "path", "use", "when")

    def __init__(
        self,
        use: str,
        path: Symbol,
        cause: Cause,
        alone: bool,
        met: int,
        when: tuple[Symbol, ...] = (),
        own: bool = False,
    ) -> None:
        self.use: Final = use
        self.path: Final = path
        self.cause: Final = cause
        self.alone: Final = alone
        self.met: Final = met
        self.when: Final = when
        self.own: Final = own

    def _fields(self) -> tuple[object, ...]:
        return (self.use, self.path, self.cause, self.alone, self.met, self.when, self.own)

    @property
    def key(self) -> tuple[Cause, str, Symbol]:
        """The identity of a use: equal in every iteration of a loop and on every path to it."""
        return self.cause, self.use, self.path


class Stamped(Record):
    """A use of a path with this rank's clock reading or random number, `cause`, in its name.

    `use` is that of a `PathUse`, `span` the call in the current function. `alone`: a condition on ranks leads to it.
    """

    __slots__ = ("alone", "cause", "span", "use")

    def __init__(self, use: str, cause: Cause, span: Span, alone: bool) -> None:
        self.use: Final = use
        self.cause: Final = cause
        self.span: Final = span
        self.alone: Final = alone

    def _fields(self) -> tuple[object, ...]:
        return (self.use, self.cause, self.span, self.alone)


#: Uses of paths in order, by key, with the call of the function at hand that each of them is or comes from.
PathUses: TypeAlias = "dict[tuple[Cause, str, Symbol], tuple[Span, PathUse]]"
#: A function is known to its callers by so many look-ups of paths, files that it reads and other uses, and uses at most.
_MOST_OF: Final = {"look": 8, "list": 4, "read": 4}
_MOST_CHANGES: Final = 8
MOST_PATHS: Final = 20


def first_uses(paths: PathUses) -> tuple[PathUse, ...]:
    """The uses of paths that callers see: the first few of each kind."""
    if not paths:
        return ()
    found: list[PathUse] = []
    counts = {**_MOST_OF, "": _MOST_CHANGES}
    for _, use in paths.values():
        kind = use.use if use.use in counts else ""
        if use.use != "given" and counts[kind] > 0:
            counts[kind] -= 1
            found.append(use)
    return tuple(found)


def widened_uses(paths: PathUses, seen: tuple[PathUse, ...]) -> PathUses:
    """The same uses, with those first that callers are to see."""
    first = {use.key: (paths[use.key][0] if use.key in paths else use.cause.span, use) for use in seen}
    return first | {key: found for key, found in paths.items() if key not in first}


class ParameterEffect(Record):
    """The effects of a function on its arguments.

    `uniform`: the parameters that are the same on all ranks of a group afterwards; `roots`: those that are the root of
    a collective; `whole`: those that one rank writes as if they were the whole model, with the place; `gathered`: those
    whose elements it replaces by what it gathers from all ranks. `changed`: where it changes a tensor argument. `sets`:
    the attributes of parameters that it sets on some ranks only, with how they differ then.
    """

    __slots__ = ("changed", "gathered", "roots", "sets", "uniform", "whole")

    def __init__(
        self,
        uniform: tuple[str, ...] = (),
        roots: tuple[str, ...] = (),
        whole: tuple[tuple[str, Cause], ...] = (),
        changed: Cause | None = None,
        gathered: tuple[str, ...] = (),
        sets: tuple[tuple[str, str, Uniformity], ...] = (),
    ) -> None:
        self.sets: Final = sets
        self.uniform: Final = uniform
        self.roots: Final = roots
        self.whole: Final = whole
        self.changed: Final = changed
        self.gathered: Final = gathered

    def _fields(self) -> tuple[object, ...]:
        return (self.uniform, self.roots, self.whole, self.changed, self.gathered, self.sets)


NO_EFFECT: Final = ParameterEffect()


class Summary(Record):
    """What callers of a function, or users of its class or module, can see of it.

    `effect` is its term as callers inline it; `attributes` those it assigns on `self`; `variables` those of a module.
    `writing`: the path that all calling ranks write to. `share`: where a model parameter is created with the size of
    one rank's share. `fallible`: what may fail in it on a single rank. `calls`: the parameters that it calls. `paths`:
    its uses of paths, in order, and `meetings` its synchronous collectives. `seed`: its seed of random numbers.
    """

    __slots__ = (
        "attributes",
        "calls",
        "effect",
        "fallible",
        "meetings",
        "parameters",
        "paths",
        "returns",
        "seed",
        "share",
        "variables",
        "writing",
    )

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
        paths: tuple[PathUse, ...] = (),
        seed: Value | None = None,
        meetings: tuple[Meeting, ...] = (),
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
        self.paths: Final = paths
        self.seed: Final = seed
        self.meetings: Final = meetings

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
            self.paths,
            self.seed,
            self.meetings,
        )


class ClassFacts(Record):
    """The source-level facts of a class, read without interpreting it.

    `assigned`: attribute -> the methods that assign it on `self`; `handlers`: the methods that it registers as signal
    handlers, with the place; `filled`: attribute -> the methods that add something to it, or set an entry of it;
    `by_others`: attribute -> functions of its file that assign it on a parameter of this class, with that parameter;
    `tested`: attribute -> the classes outside the program of which it is tested to be an instance.
    """

    __slots__ = ("assigned", "by_others", "filled", "handlers", "tested")

    def __init__(
        self,
        assigned: Mapping[str, tuple[str, ...]] | None = None,
        handlers: Mapping[str, Span] | None = None,
        filled: Mapping[str, tuple[str, ...]] | None = None,
        tested: Mapping[str, tuple[str, ...]] | None = None,
        by_others: Mapping[str, tuple[tuple[str, str], ...]] | None = None,
    ) -> None:
        self.assigned: Final[Mapping[str, tuple[str, ...]]] = {} if assigned is None else assigned
        self.by_others: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {} if by_others is None else by_others
        self.handlers: Final[Mapping[str, Span]] = {} if handlers is None else handlers
        self.filled: Final[Mapping[str, tuple[str, ...]]] = {} if filled is None else filled
        self.tested: Final[Mapping[str, tuple[str, ...]]] = {} if tested is None else tested

    def _fields(self) -> tuple[object, ...]:
        return (self.assigned, self.handlers, self.filled, self.tested, self.by_others)
