"""Calls that use a path."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...record import Record
from ..domain.symbol import WORLD
from ..domain.value import PLACES

if TYPE_CHECKING:
    from ...ir.nodes import Expr, Function, Span
    from ..domain.value import Value
    from ..effects import Guard


#: What makes a path one rank's own.
_OWN: Final = frozenset({"rank", "random", "process", "clock"})


def is_own(path: Value) -> bool:
    """Whether each rank has a path of its own, by its rank, clock or host."""
    return path.origin.ranked or any(cause.kind in _OWN for cause in path.uniformity.causes)


class FileUse(Record):
    """A call that uses a path; `use` is one of those of `FileApi`.

    `path` is the path's value, `expr` its expression, `state` the state that is written there. `alone`: a condition on
    ranks leads here; `few`: that, or each rank has a path of its own; `tolerant`: an existing path is no error;
    `tolerates` names the parameter that makes it none.
    """

    __slots__ = (
        "alone",
        "api",
        "expr",
        "function",
        "guards",
        "path",
        "span",
        "state",
        "statement",
        "tolerant",
        "tolerates",
        "use",
    )

    def __init__(
        self,
        use: str,
        api: str,
        path: Value,
        expr: Expr,
        function: Function,
        span: Span,
        statement: Span,
        alone: bool,
        tolerant: bool,
        state: Value | None = None,
        guards: tuple[Guard, ...] = (),
        tolerates: str | None = None,
    ) -> None:
        self.use: Final = use
        self.api: Final = api
        self.path: Final = path
        self.expr: Final = expr
        self.function: Final = function
        self.span: Final = span
        self.statement: Final = statement
        self.alone: Final = alone
        self.tolerant: Final = tolerant
        self.state: Final = state
        self.guards: Final = guards
        self.tolerates: Final = tolerates

    def _fields(self) -> tuple[object, ...]:
        return (
            self.use,
            self.api,
            self.path,
            self.expr,
            self.function,
            self.span,
            self.statement,
            self.alone,
            self.tolerant,
            self.state,
            self.guards,
            self.tolerates,
        )

    @property
    def is_whole(self) -> bool:
        """Whether one rank of the job, or of each node, writes one file for all."""
        one = all(guard.varies <= {WORLD, *PLACES} for guard in self.guards if guard.varies)
        return self.use == "write" and self.alone and not self.path.origin.ranked and one

    @property
    def few(self) -> bool:
        """Whether some ranks do not reach the call, or each rank has a path of its own."""
        return self.alone or is_own(self.path)
