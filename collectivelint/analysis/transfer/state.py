"""The state of interpreting one function: its variables and the term it has produced so far."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ..domain.causes import Cause
from ..domain.symbol import Symbol, place
from ..effects import Fails
from ..summary.facts import note
from ..summary.model import Note
from .scopes import Collecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from ...catalog.model import Catalog
    from ...ir.nodes import Block, Call, Expr, Function, Span
    from ...program.resolver import Program
    from ...program.target import Target
    from ...source.annotations import Annotation
    from ..domain.value import Value
    from ..effects import Guard, Item
    from ..summary.facts import FunctionFacts
    from ..summary.model import NoteKind

_NO_MODES: Final[frozenset[str]] = frozenset()


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
        """Whether a call of the function is recursive: its interpretation is in progress."""

    def annotation(self, target: Target) -> Annotation | None:
        """The annotation of a function or a variable, from a comment or the configuration."""

    def attribute(self, owner: Target, name: str) -> Value | None:
        """What the methods of a class assign to `self.name`."""

    def attributes(self, owner: Target) -> list[str]:
        """The names that a class assigns on self."""

    def entries(self, owner: Target) -> frozenset[str]:
        """The entries of attributes of `self` that methods of a class set: `state['stop']`."""

    def setters(self, owner: Target, name: str) -> tuple[str, ...]:
        """The methods of a class, without its bases, that assign `self.name`."""

    def changed_in(self, path: str) -> frozenset[str]:
        """The attributes that functions of a file set on objects other than their own: see `changed_by`."""

    def recorded_in(self, path: str) -> Mapping[str, Span]:
        """The variables of a file in which its functions record names: see `recorded_names`."""

    def handled(self, owner: Target, name: str) -> Cause | None:
        """Where a signal handler sets `self.name`."""

    def shared_out(self, owner: Target) -> Cause | None:
        """Where a model of this class creates a parameter with the size of one rank's share."""

    def other_uses(self, path: str, qualname: str) -> frozenset[str]:
        """The names that a function uses in ways that no process group allows."""

    def calls_in(self, path: str, name: str) -> Sequence[tuple[Function, Call]]:
        """The calls of any function of this name in one file, each with its function."""


class Frame:
    """One function during its interpretation: `out` is the term of the current block, `statement` the current one.

    Items are added by `emit` and `extend`; state that applies to a part of the function is set by a scope (see
    `scopes`). Conditions: `guards` are those around it that differ between ranks, with their values; `left` those on
    which some ranks have left the current block; `conditions` those that are true here, `asked` those of expressions
    and loops that are. Loops and blocks: `turns` are the iterables of the loops around it; `catching` counts the `try`
    blocks around it that swallow exceptions; `branches` counts the conditions around it, `single_rank` those that say
    there are no other ranks; `retries` counts the handlers that call the function again. Groups: `worlds` are the
    symbols of groups that are the default group here; `is_partial`: some ranks have left by now; `group_destroyed`: the
    default group has been destroyed; `awaited` has the groups of collectives in progress. Paths: `looked` has the paths
    that it looks up, with their folders; `either` the possible paths after a branch; `last_use` the number of meetings
    before the last use of a path. `dropped` is the expression whose result is not used; `made` has the constructor of
    each object made here, with the symbols for its parameters.
    """

    __slots__ = (
        "asked",
        "awaited",
        "branches",
        "catching",
        "closure",
        "conditions",
        "context",
        "dropped",
        "either",
        "elements",
        "facts",
        "function",
        "globals",
        "group_destroyed",
        "guards",
        "imports",
        "is_partial",
        "last_use",
        "left",
        "looked",
        "made",
        "modes",
        "out",
        "retries",
        "single_rank",
        "statement",
        "turns",
        "variables",
        "worlds",
    )

    def __init__(
        self,
        context: Context,
        function: Function,
        facts: FunctionFacts,
        variables: dict[str, Value],
        closure: Mapping[str, Value],
        statement: Span,
    ) -> None:
        self.context: Context = context
        self.function: Function = function
        self.facts: FunctionFacts = facts
        self.variables: dict[str, Value] = variables
        self.closure: Mapping[str, Value] = closure
        self.statement: Span = statement
        self.out: list[Item] = []
        self.imports: dict[str, str] = dict(function.imports)
        self.guards: list[tuple[Guard, Value]] = []
        self.left: list[tuple[Guard, Value]] = []
        self.turns: list[Symbol] = []
        self.catching: int = 0
        self.dropped: Expr | None = None
        self.single_rank: int = 0
        self.branches: int = 0
        self.worlds: set[Symbol] = set()
        #: What a loop binds -> what it runs over; a variable -> what it was assigned.
        self.elements: dict[Symbol, Symbol] = {}
        self.either: dict[Symbol, tuple[Symbol, Symbol]] = {}
        self.is_partial: bool = False
        self.group_destroyed: bool = False
        self.last_use: int = 0
        self.retries: int = 0
        self.awaited: list[Symbol] = []
        self.looked: dict[Symbol, Symbol] = {}
        self.conditions: list[Symbol] = []
        self.asked: list[Symbol] = []
        self.made: dict[Symbol, tuple[FunctionFacts, Mapping[str, Symbol]]] = {}
        #: Context managers around, by their names, in which some calls are no collectives.
        self.modes: frozenset[str] = _NO_MODES
        #: What names of the module, and of others, were found to mean.
        self.globals: dict[str, Value] = {}

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
        """Record that this, or with `own` False a callee, may fail on a single rank."""
        if self.catching:
            self.emit(Fails(cause))
        elif own and self.facts.fallible is None:
            # Only what a callee does itself counts: far down the calls there is always a file that is opened.
            self.facts.fallible = cause

    def note(self, kind: NoteKind, span: Span, causes: tuple[Cause, ...], *exprs: Expr, callee: str = "") -> None:
        """Record a note for the rules."""
        found = Note(kind, self.function, span, self.statement, causes, exprs, callee, self.alone_here)
        note(self.facts, found)

    @property
    def alone_here(self) -> bool:
        """Whether a condition on ranks leads here."""
        return self.is_partial or any(cause.kind == "rank" for guard, _ in self.guards for cause in guard.causes)

    @property
    def path(self) -> str:
        """The file of the function."""
        return self.function.path

    def cause(self, kind: str, span: Span) -> Cause:
        """A cause of this kind in the file of this function."""
        return Cause(kind, self.path, span)  # type: ignore[arg-type]

    def fresh(self, what: str, span: Span) -> Symbol:
        """A new symbol for an unknown value: equal only to itself."""
        return place(what, *self.position(span))

    def position(self, span: Span) -> tuple[str, str, int, int]:
        """The start of a span in this function: file, function, line relative to the function, column.

        Absolute lines would change the symbols of everything below a line that is inserted.
        """
        function = self.function
        return function.path, function.qualname, max(span.line - function.first_line, -1), span.column


#: What interprets the statements of a block.
Run: TypeAlias = "Callable[[Frame, Block], None]"
