"""What interpreting a function leaves behind for the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..catalog import Api
    from ..events import Call, Expr, Function, Span
    from .effects import Term
    from .values import Cause, Value


@dataclass(frozen=True, slots=True)
class GroupInReach:
    """An expression that names a group where a call stands: `text` as source, and where its value comes from."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class ApiCall:
    """A call of something the catalogue knows, seen in one function. `local_names`: what is bound there already."""

    api: Api
    call: Call
    statement: Span
    function: Function
    group: Value | None
    group_expr: Expr | None
    in_reach: tuple[GroupInReach, ...] = ()
    local_names: frozenset[str] = frozenset()

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
    variables: dict[str, Value] = field(default_factory=dict)
