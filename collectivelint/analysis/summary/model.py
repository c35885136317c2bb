"""Records that the interpretation of a function leaves for the rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from ...record import Record

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...catalog.model import Api
    from ...ir.nodes import Call, Expr, Function, Span
    from ...program.target import Target
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from ..effects import Event, Guard


class GroupInReach(Record):
    """An expression that names a group at a call site: `text` is its source, `origin` where its value comes from.

    `owner` is the mesh that the group belongs to, `dims` the names of that mesh's dimensions, if they are known. Unless
    `certain`, it is unknown which dimension is meant, and the text cannot be used in a fix. `optional`: it may be None.
    `everyone`: it has all ranks.
    """

    __slots__ = ("certain", "dims", "everyone", "optional", "origin", "owner", "text")

    def __init__(
        self,
        text: str,
        origin: str,
        owner: str = "",
        dims: tuple[str, ...] | None = None,
        certain: bool = True,
        optional: bool = False,
        everyone: bool = False,
    ) -> None:
        self.text: Final = text
        self.origin: Final = origin
        self.owner: Final = owner
        self.dims: Final = dims
        self.certain: Final = certain
        self.optional: Final = optional
        self.everyone: Final = everyone

    def _fields(self) -> tuple[object, ...]:
        return (self.text, self.origin, self.owner, self.dims, self.certain, self.optional, self.everyone)

    @property
    def is_subgroup(self) -> bool:
        """Whether ranks of the job may be missing: a mesh of one dimension has them all."""
        return not self.everyone and (self.dims is None or len(self.dims) != 1)

    def as_mesh(self) -> GroupInReach:
        """The mesh that it is a group of."""
        return GroupInReach(self.owner, self.origin, self.owner, self.dims, True, self.optional)


class ApiCall(Record):
    """A call of a catalogue API in one function. `local_names`: the names that are bound there already.

    `values` and `exprs` are the arguments by parameter. `guards` are the conditions around it in this function that
    differ between ranks, `turns` the values that the loops around it iterate over. `used`: its result is used;
    `conditional`: it is under some condition; `alone`: a condition on ranks leads to it. `conditions` are those that
    are true there, also by an earlier `assert` or exit.
    """

    __slots__ = (
        "alone",
        "api",
        "call",
        "conditional",
        "conditions",
        "exprs",
        "function",
        "group",
        "group_expr",
        "guards",
        "in_reach",
        "local_names",
        "statement",
        "turns",
        "used",
        "values",
    )

    def __init__(
        self,
        api: Api,
        call: Call,
        statement: Span,
        function: Function,
        group: Value | None,
        group_expr: Expr | None,
        in_reach: tuple[GroupInReach, ...] = (),
        local_names: frozenset[str] = frozenset(),
        values: Mapping[str, Value] | None = None,
        exprs: Mapping[str, Expr] | None = None,
        guards: tuple[Guard, ...] = (),
        turns: tuple[Symbol, ...] = (),
        used: bool = True,
        conditional: bool = False,
        alone: bool = False,
        conditions: tuple[Symbol, ...] = (),
    ) -> None:
        self.api: Final = api
        self.call: Final = call
        self.statement: Final = statement
        self.function: Final = function
        self.group: Final = group
        self.group_expr: Final = group_expr
        self.in_reach: Final = in_reach
        self.local_names: Final = local_names
        self.values: Final[Mapping[str, Value]] = {} if values is None else values
        self.exprs: Final[Mapping[str, Expr]] = {} if exprs is None else exprs
        self.guards: Final = guards
        self.turns: Final = turns
        self.used: Final = used
        self.conditional: Final = conditional
        self.alone: Final = alone
        self.conditions: Final = conditions

    def _fields(self) -> tuple[object, ...]:
        return (
            self.api,
            self.call,
            self.statement,
            self.function,
            self.group,
            self.group_expr,
            self.in_reach,
            self.local_names,
            self.values,
            self.exprs,
            self.guards,
            self.turns,
            self.used,
            self.conditional,
            self.alone,
            self.conditions,
        )

    @property
    def span(self) -> Span:
        """The location of the call."""
        return self.call.span

    @property
    def is_distributed(self) -> bool:
        """Whether the call only makes sense with several ranks."""
        return self.api.category not in ("function", "loader")


class Invariant(Record):
    """An assert, with the reasons why its condition depends on data of other ranks or of a checkpoint."""

    __slots__ = ("function", "origins", "span")

    def __init__(self, function: Function, span: Span, origins: tuple[Cause, ...]) -> None:
        self.function: Final = function
        self.span: Final = span
        self.origins: Final = origins

    def _fields(self) -> tuple[object, ...]:
        return (self.function, self.span, self.origins)


class HelperCall(Record):
    """A call of a function of the program that passes groups, or a root, on to collectives.

    `groups` are the parameters that it uses as groups, `roots` those that it uses as a root; `given` maps the
    parameters that the call sets to their values.
    """

    __slots__ = ("call", "callee", "events", "function", "given", "groups", "in_reach", "roots", "statement")

    def __init__(
        self,
        function: Function,
        call: Call,
        statement: Span,
        callee: Function,
        groups: tuple[str, ...],
        roots: tuple[str, ...],
        given: Mapping[str, Value],
        in_reach: tuple[GroupInReach, ...],
        events: tuple[Event, ...],
    ) -> None:
        self.function: Final = function
        self.call: Final = call
        self.statement: Final = statement
        self.callee: Final = callee
        self.groups: Final = groups
        self.roots: Final = roots
        self.given: Final = given
        self.in_reach: Final = in_reach
        self.events: Final = events

    def _fields(self) -> tuple[object, ...]:
        return (
            self.function,
            self.call,
            self.statement,
            self.callee,
            self.groups,
            self.roots,
            self.given,
            self.in_reach,
            self.events,
        )

    @property
    def span(self) -> Span:
        """The location of the call."""
        return self.call.span


class Registration(Record):
    """A function of the program registered to be called later: `kind` says when.

    `some_ranks`: the registration is under a condition that differs between ranks.
    """

    __slots__ = ("function", "kind", "some_ranks", "span", "statement", "target")

    def __init__(
        self, function: Function, span: Span, statement: Span, kind: str, target: Target, some_ranks: bool = False
    ) -> None:
        self.function: Final = function
        self.span: Final = span
        self.statement: Final = statement
        self.kind: Final = kind
        self.target: Final = target
        self.some_ranks: Final = some_ranks

    def _fields(self) -> tuple[object, ...]:
        return (self.function, self.span, self.statement, self.kind, self.target, self.some_ranks)


#: "share": a parameter of a model is made, of one rank's share of a size. "guess": one more than the highest number found.
#: "index": received data, less an offset, is an index. "temporary": some ranks leave a temporary folder. "write": a
#: function of the program is called that writes to a path. "in place": a tensor is changed that was not made here.
#: "one part": what is passed on is a part of a sharded model, and one rank writes it as if it were all. "average": a sum over
#: one group is divided by the size of another; `callee` says which. "never none": a group that was just made is asked whether it is None.
NoteKind: TypeAlias = Literal[
    "share", "guess", "index", "temporary", "write", "in place", "one part", "average", "nothing", "empty", "never none"
]


class Note(Record):
    """An observation for the rules; `causes` say where it comes from.

    `exprs` are the expressions concerned, `callee` the called function of the program. `alone`: a condition on ranks
    leads here, so not all ranks reach it.
    """

    __slots__ = ("alone", "callee", "causes", "exprs", "function", "kind", "span", "statement")

    def __init__(
        self,
        kind: NoteKind,
        function: Function,
        span: Span,
        statement: Span,
        causes: tuple[Cause, ...] = (),
        exprs: tuple[Expr, ...] = (),
        callee: str = "",
        alone: bool = False,
    ) -> None:
        self.kind: Final = kind
        self.function: Final = function
        self.span: Final = span
        self.statement: Final = statement
        self.causes: Final = causes
        self.exprs: Final = exprs
        self.callee: Final = callee
        self.alone: Final = alone

    def _fields(self) -> tuple[object, ...]:
        return (self.kind, self.function, self.span, self.statement, self.causes, self.exprs, self.callee, self.alone)


def misplaced(call: ApiCall) -> str | None:
    """The parameter of a collective, other than its group, that receives a group."""
    role = call.api.roles.get("group")
    for name, value in call.values.items():
        if name in (role, "self") or value.reference.meaning != "group" or value.constant is None:
            continue
        # Believed only where the type is known: `pg` may also be a peer's global rank.
        if name in call.api.params and value.reference.kind not in (None, "rank"):
            return name
    return None
