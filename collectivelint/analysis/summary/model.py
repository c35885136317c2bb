"""What interpreting a function leaves behind for the rules."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ..domain.causes import Cause
from ..domain.symbol import WORLD, Symbol
from ..domain.value import PLACES
from ..effects import deferred, events
from .observed import ParameterEffect, Summary, first_uses, widened_uses

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...catalog.model import Api
    from ...ir.nodes import Call, Expr, Function, Span
    from ...program.target import Target
    from ..domain.value import Value
    from ..effects import Event, Guard, Term
    from .observed import PathUses, Writing


@dataclass(frozen=True, slots=True)
class GroupInReach:
    """An expression that names a group where a call stands: `text` as source, and where its value comes from.

    `owner` is the mesh that it is a group of, `dims` the names of that mesh's dimensions, if they are known. Where not
    `certain`, nothing says which dimension is meant, and the text is none to write. `optional`: it may be None.
    `everyone`: it has all ranks.
    """

    text: str
    origin: str
    owner: str = ""
    dims: tuple[str, ...] | None = None
    certain: bool = True
    optional: bool = False
    everyone: bool = False

    @property
    def is_subgroup(self) -> bool:
        """Whether ranks of the job may be missing: a mesh of one dimension has them all."""
        return not self.everyone and (self.dims is None or len(self.dims) != 1)


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of something the catalogue knows, seen in one function. `local_names`: what is bound there already.

    `values` and `exprs` are the arguments by parameter. `guards` are the conditions around it in this function that
    differ between ranks, `turns` the values that the loops around it run over; `used` says that its result is, and
    `conditional` that it stands under any condition, `alone` that a condition on ranks leads to it.
    """

    api: Api
    call: Call
    statement: Span
    function: Function
    group: Value | None
    group_expr: Expr | None
    in_reach: tuple[GroupInReach, ...] = ()
    local_names: frozenset[str] = frozenset()
    values: Mapping[str, Value] = field(default_factory=dict)
    exprs: Mapping[str, Expr] = field(default_factory=dict)
    guards: tuple[Guard, ...] = ()
    turns: tuple[Symbol, ...] = ()
    used: bool = True
    conditional: bool = False
    alone: bool = False

    @property
    def span(self) -> Span:
        """Where the call stands."""
        return self.call.span

    @property
    def is_distributed(self) -> bool:
        """Is it something that only makes sense among several ranks?"""
        return self.api.category not in ("function", "loader")


@dataclass(frozen=True, slots=True)
class Invariant:
    """An assert, with the reasons why its condition depends on data of other ranks or of a checkpoint."""

    function: Function
    span: Span
    origins: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class HelperCall:
    """A call of a function of the program that passes groups, or a root, on to collectives.

    `groups` are the parameters that it uses as groups, `roots` those that it uses as a root; `given` those of all its
    parameters that the call fills.
    """

    function: Function
    call: Call
    statement: Span
    callee: Function
    groups: tuple[str, ...]
    roots: tuple[str, ...]
    given: Mapping[str, Value]
    in_reach: tuple[GroupInReach, ...]
    events: tuple[Event, ...]

    @property
    def span(self) -> Span:
        """Where the call stands."""
        return self.call.span


@dataclass(frozen=True, slots=True)
class Registration:
    """A function of the program handed over to be called some other time: `kind` says when."""

    function: Function
    span: Span
    statement: Span
    kind: str
    target: Target


#: What makes a path one rank's own.
_OWN: Final = frozenset({"rank", "random", "process", "clock"})


@dataclass(frozen=True, slots=True)
class FileUse:
    """A call that does something to a path; `use` is one of those of `FileApi`.

    `path` is what the path is, `expr` how it is written, `state` what is written there. `alone`: some condition on ranks
    leads here; `few`: that, or each rank has a path of its own; `tolerant`: it is no error if the path is there; `tolerates`
    names the parameter that makes it none.
    """

    use: str
    api: str
    path: Value
    expr: Expr
    function: Function
    span: Span
    statement: Span
    alone: bool
    tolerant: bool
    state: Value | None = None
    guards: tuple[Guard, ...] = ()
    tolerates: str | None = None

    @property
    def is_whole(self) -> bool:
        """Is it one rank of the job, or of each node, that writes one file for all?"""
        one = all(guard.varies <= {WORLD, *PLACES} for guard in self.guards if guard.varies)
        return self.use == "write" and self.alone and not self.path.ranked and one

    @property
    def few(self) -> bool:
        """Do not all ranks get here, or has each a path of its own?"""
        return self.alone or self.path.ranked or any(cause.kind in _OWN for cause in self.path.causes)


#: "share": a parameter of a model is made, of one rank's share of a size. "guess": one more than the highest number found.
#: "index": received data, less an offset, is an index. "temporary": some ranks leave a temporary folder. "write": a
#: function of the program is called that writes to a path. "in place": a tensor is changed that was not made here.
#: "one part": what is passed on is a part of a sharded model, and one rank writes it as if it were all.
NoteKind: TypeAlias = Literal["share", "guess", "index", "temporary", "write", "in place", "one part"]


@dataclass(frozen=True, slots=True)
class Note:
    """Something a rule may want to know of; `causes` say where it comes from.

    `exprs` are the expressions it is about, `callee` the function of the program that is called. `alone`: not all ranks get
    here, because of a condition on ranks.
    """

    kind: NoteKind
    function: Function
    span: Span
    statement: Span
    causes: tuple[Cause, ...] = ()
    exprs: tuple[Expr, ...] = ()
    callee: str = ""
    alone: bool = False


@dataclass(slots=True)
class FunctionFacts:
    """Everything known about one function after it was interpreted."""

    function: Function
    calls_at: dict[Span, ApiCall] = field(default_factory=dict)
    invariants: list[Invariant] = field(default_factory=list)
    term: Term = ()
    summary: Term = ()
    returns: Value | None = None
    attributes: dict[str, Value] = field(default_factory=dict)
    #: Of a module, what its global variables are; of other functions only where somebody wants an explanation.
    variables: dict[str, Value] = field(default_factory=dict)
    #: By function defined in it: the variables that one sees.
    closures: dict[str, Mapping[str, Value]] = field(default_factory=dict)
    helpers: list[HelperCall] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    files: list[FileUse] = field(default_factory=list)
    #: What it does to paths, itself and in what it calls, in order, with the call of this function that does it.
    paths: PathUses = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    #: Its parameters that hold the same on all ranks of a group afterwards.
    uniform: tuple[str, ...] = ()
    #: Its parameters that one rank writes as if they were the whole model, with where.
    whole: tuple[tuple[str, Cause], ...] = ()
    #: What all ranks that call it write to.
    writing: Writing | None = None
    #: Its parameters that are the root of a collective it runs, itself or in what it calls.
    roots: tuple[str, ...] = ()
    #: An exception for a case nobody thought of, raised by the ranks that another rank's condition sent there.
    fallen: list[tuple[Guard, Span]] = field(default_factory=list)
    #: What it returns where there are no other ranks.
    alone: Value | None = None
    #: The collectives of its summary.
    events: tuple[Event, ...] = ()
    #: What may fail in it on one rank alone, and is not caught there.
    fallible: Cause | None = None
    #: Set where a condition that differs between ranks decides what is returned.
    return_guard: Value | None = None
    #: By call of a function of the program, for those who ask: the groups in reach there, and the names that are bound.
    reaching: dict[Span, tuple[tuple[GroupInReach, ...], frozenset[str]]] = field(default_factory=dict)
    #: The names that are bound in it, for those who ask.
    names: frozenset[str] = frozenset()
    #: Attribute calls whose function could not be found, for those who ask.
    unresolved: list[tuple[str, Span]] = field(default_factory=list)

    @property
    def calls(self) -> list[ApiCall]:
        """Its calls of what the catalogue knows, in the order in which they were met."""
        return list(self.calls_at.values())

    @property
    def changed(self) -> Cause | None:
        """Where a tensor is changed that was passed in."""
        places = (found.span for found in self.notes if found.kind == "in place" and not found.callee)
        return next((Cause("data", self.function.path, span) for span in places), None)

    @property
    def share(self) -> Cause | None:
        """Where a parameter of a model is made of one rank's share of a size."""
        return next((found.causes[0] for found in self.notes if found.kind == "share"), None)

    def observed(self) -> Summary:
        """What other functions can see of it."""
        return Summary(
            effect=self.summary,
            returns=self.returns,
            attributes=self.attributes,
            variables=self.variables if self.function.qualname == "<module>" else {},
            parameters=ParameterEffect(self.uniform, self.roots, self.whole, self.changed),
            writing=self.writing,
            share=self.share,
            fallible=self.fallible,
            calls=tuple(dict.fromkeys(deferred(self.term))),
            paths=first_uses(self.paths),
        )

    def widened(self, summary: Summary) -> FunctionFacts:
        """The same facts of the function itself, with another summary for those who call it."""
        return replace(
            self,
            summary=summary.effect,
            events=tuple(events(summary.effect)),
            returns=summary.returns,
            attributes=dict(summary.attributes),
            variables={**self.variables, **summary.variables},
            uniform=summary.parameters.uniform,
            roots=summary.parameters.roots,
            whole=summary.parameters.whole,
            writing=summary.writing,
            fallible=summary.fallible,
            paths=widened_uses(self.paths, summary.paths),
        )


def note(facts: FunctionFacts, found: Note) -> None:
    """Keep a note once: the body of a loop is looked at twice."""
    if not any(other.kind == found.kind and other.span == found.span for other in facts.notes):
        facts.notes.append(found)


def misplaced(call: ApiCall) -> str | None:
    """The parameter of a collective, not its group, that is given a group."""
    role = call.api.roles.get("group")
    for name, value in call.values.items():
        if name in (role, "self") or value.meaning != "group" or value.constant is None:
            continue
        # Believed only where the type is known: `pg` may also be a peer's global rank.
        if name in call.api.params and value.type not in (None, "rank"):
            return name
    return None
