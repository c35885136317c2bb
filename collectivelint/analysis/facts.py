"""What interpreting a function leaves behind for the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..catalog import Api
    from ..events import Call, Expr, Function, Span
    from ..program import Target
    from .effects import Event, Guard, Term
    from .values import Cause, Value


@dataclass(frozen=True, slots=True)
class GroupInReach:
    """An expression that names a group where a call stands: `text` as source, and where its value comes from."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of something the catalogue knows, seen in one function. `local_names`: what is bound there already.

    `values` and `exprs` are the arguments by parameter. `guards` are the conditions around it in this function that
    differ between ranks, `turns` the values that the loops around it run over; `used` says that its result is, and
    `conditional` that it stands under any condition.
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
    turns: tuple[str, ...] = ()
    used: bool = True
    conditional: bool = False

    @property
    def span(self) -> Span:
        """Where the call stands."""
        return self.call.span


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
class Making:
    """A place where the program makes sub-groups; `lists`: of ranks that it chooses."""

    op: str
    path: str
    span: Span
    lists: bool


@dataclass(frozen=True, slots=True)
class Registration:
    """A function of the program handed over to be called some other time: `kind` says when."""

    function: Function
    span: Span
    statement: Span
    kind: str
    target: Target


@dataclass(frozen=True, slots=True)
class FileUse:
    """A call that looks for a path, makes it or writes it.

    `form` is that of the path, `expr` how it is written. `few`: not all ranks get here, or each has a path of its own;
    `tolerant`: it is no error if the path is there.
    """

    use: str
    form: str
    expr: Expr
    span: Span
    statement: Span
    few: bool
    tolerant: bool


@dataclass(slots=True)
class FunctionFacts:
    """Everything known about one function after it was interpreted."""

    function: Function
    calls: list[ApiCall] = field(default_factory=list)
    invariants: list[Invariant] = field(default_factory=list)
    term: Term = ()
    summary: Term = ()
    returns: Value | None = None
    attributes: dict[str, Value] = field(default_factory=dict)
    #: Of a module, what its global variables are; of other functions only where somebody wants an explanation.
    variables: dict[str, Value] = field(default_factory=dict)
    helpers: list[HelperCall] = field(default_factory=list)
    registrations: list[Registration] = field(default_factory=list)
    files: list[FileUse] = field(default_factory=list)
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
    #: Attribute calls whose function could not be found, for those who ask.
    unresolved: list[tuple[str, Span]] = field(default_factory=list)


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
