"""The state of interpreting one function: its variables and the term it has produced so far."""

from __future__ import annotations

import builtins
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from ...program.target import Target
from ..domain import symbol as symbols
from ..domain.symbol import WORLD, Symbol, global_name, place
from ..domain.value import Cause, Value
from ..effects import Fails
from ..summary.model import Note, note
from .group_names import is_other_variable
from .scopes import Collecting

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...catalog.model import Catalog
    from ...ir.nodes import Call, Expr, Function, Span
    from ...program.resolver import Program
    from ...source.annotations import Annotation
    from ..effects import Guard, Item
    from ..summary.model import FunctionFacts, NoteKind


_BUILTINS: Final = frozenset(dir(builtins))


class Context(Protocol):
    """What interpreting a function needs to know about the rest of the program."""

    program: Program
    catalog: Catalog
    explaining: bool

    def facts(self, target: Target) -> FunctionFacts | None:
        """The facts of a function of the program; None while it is being interpreted itself (recursion)."""

    def signature(self, target: Target) -> Function | None:
        """A function, for its parameters, decorators and annotation."""

    def is_recursive(self, target: Target) -> bool:
        """Whether a function calls the one that is being interpreted in turn."""

    def annotation(self, target: Target) -> Annotation | None:
        """What a comment or the configuration says of a function or a variable."""

    def attribute(self, owner: Target, name: str) -> Value | None:
        """What the methods of a class assign to `self.name`."""

    def attributes(self, owner: Target) -> list[str]:
        """The names that a class assigns on self."""

    def handled(self, owner: Target, name: str) -> Cause | None:
        """Where a signal handler sets `self.name`."""

    def shared_out(self, owner: Target) -> Cause | None:
        """Where a model of this class makes a parameter of one rank's share of a size."""

    def other_uses(self, path: str, qualname: str) -> frozenset[str]:
        """The names that a function uses as no process group can be used."""

    def calls_in(self, path: str, name: str) -> Sequence[tuple[Function, Call]]:
        """The calls of anything of this name in one file, with the function that each stands in."""


@dataclass(slots=True)
class Frame:
    """One function while it is interpreted: `out` is the term of the block at hand, `statement` where it has come to.

    Items are added by `emit` and `extend`; what is set for a part of the function only is set by a scope (see `scopes`).

    `guards` are the conditions around it that differ between ranks, with the values they have; `turns` what the loops
    around it run over; `catching` counts the `try` blocks around it that swallow exceptions; `dropped` is the expression
    whose result is not used; `branches` counts the conditions around it, `single_rank` those that say there are no other
    ranks; `worlds` are the symbols of groups that are the default group here; `is_partial` says that some ranks have left by
    now, `group_destroyed` that the default group has been: there are no others any more.
    """

    context: Context
    function: Function
    facts: FunctionFacts
    variables: dict[str, Value]
    closure: Mapping[str, Value]
    statement: Span
    out: list[Item] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    guards: list[tuple[Guard, Value]] = field(default_factory=list)
    turns: list[Symbol] = field(default_factory=list)
    catching: int = 0
    dropped: Expr | None = None
    single_rank: int = 0
    branches: int = 0
    worlds: set[Symbol] = field(default_factory=set)
    is_partial: bool = False
    group_destroyed: bool = False

    def emit(self, item: Item) -> None:
        """Add an item to the term."""
        self.out.append(item)

    def extend(self, term: Iterable[Item]) -> None:
        """Add all items of a term."""
        self.out.extend(term)

    def collecting(self) -> Collecting:
        """Collect what is emitted in a list of its own."""
        return Collecting(self)

    def fails(self, cause: Cause, *, own: bool = True) -> None:
        """Something happens here, or with `own` False in a callee, that may fail on this rank alone."""
        if self.catching:
            self.emit(Fails(cause))
        elif own and self.facts.fallible is None:
            # Only what a callee does itself counts: far down the calls there is always a file that is opened.
            self.facts.fallible = cause

    def note(self, kind: NoteKind, span: Span, causes: tuple[Cause, ...], *exprs: Expr, callee: str = "") -> None:
        """Keep something for the rules."""
        found = Note(kind, self.function, span, self.statement, causes, exprs, callee, self.alone_here)
        note(self.facts, found)

    @property
    def alone_here(self) -> bool:
        """Does a condition on ranks lead here?"""
        return self.is_partial or any(cause.kind == "rank" for guard, _ in self.guards for cause in guard.causes)

    @property
    def path(self) -> str:
        """The file of the function."""
        return self.function.path

    def cause(self, kind: str, span: Span) -> Cause:
        """A cause that stands in this function."""
        return Cause(kind, self.path, span)  # type: ignore[arg-type]

    def fresh(self, what: str, span: Span) -> Symbol:
        """The symbol of a value nothing is known about: equal only to itself."""
        return place(what, self.path, span.line, span.column)

    def look_up(self, name: str) -> Value:
        """The value of a variable: local, enclosing, global or builtin."""
        index = self.context.program.indexes[self.path]
        known = self.variables.get(name)
        # `except ImportError: dist = None` beside an import: where it matters, the import has worked.
        if known is not None and not (known.constant is None and name in index.imports):
            return known
        if name in self.imports:
            return self.refer(self.context.program.absolute(self.path, self.imports[name]))
        if name in self.closure:
            return self.closure[name]
        target = self.context.program.resolve(self.path, name)
        if target is not None:
            return self.refer(target)
        if name in _BUILTINS:
            return Value(symbols.name(name), target=Target("external", "", f"builtins.{name}"))
        known_type = self.context.catalog.convention(name, "object")
        return Value(global_name(self.path, name), type=known_type.type if known_type is not None else None)

    def refer(self, target: Target) -> Value:
        """The value of something that a name refers to."""
        symbol = global_name(target.path, target.name) if target.path else symbols.name(target.name)
        annotation = self.context.annotation(target)
        if annotation is not None and annotation.kind == "axis" and target.kind != "function":
            return Value(symbols.name(annotation.axis) if annotation.axis else symbol, target=target, meaning="group")
        if target.kind == "variable":
            module = Target("function", target.path, "<module>")
            named = self.context.catalog.convention(target.name.lstrip("_").lower(), "group")
            if named is not None and is_other_variable(self, target):
                named = None
            placeholder = Value(symbol, meaning="group" if named else None)
            if target.name in self.context.program.indexes[target.path].rebound:
                return placeholder
            inside = self.function.qualname == "<module>" and target.path == self.path
            facts = None if inside else self.context.facts(module)
            found = facts.variables.get(target.name) if facts is not None else None
            # `GROUP = None` at the top of a module is a place for something that another module puts there.
            return placeholder if found is None or found.constant is None else found
        if target.name in self.context.catalog.world:
            return Value(WORLD, target=target, meaning="group")
        return Value(symbol, target=target)
