"""Broad exception handlers that go on: the rank that catches an exception there diverges from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...catalog.operations import SETTING
from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Compound, Constant, Exit, Name, assignments, expressions
from ...source.discover import is_test
from ..effects import events
from .expressions import evaluate
from .scopes import Discarding

if TYPE_CHECKING:
    from ...ir.nodes import Block, Expr, Try
    from ..effects import Term
    from .state import Frame

_BROAD: Final = ("Exception", "BaseException")


def goes_on_alone(frame: Frame, statement: Try, number: int, body: Term) -> bool:
    """Whether the handler `number` swallows a failure that a single rank may have, in a call with arguments.

    If the body runs collectives, any such call counts; if not, only one of a function of the program. A collective that
    fails does so on all ranks, and test files mostly catch what they test for.
    """
    kind, name, block = statement.handlers[number]
    if (
        not _is_broad(kind)
        or _raises(block)
        or (name is not None and _keeps(block, name))
        or frame.function.qualname.endswith(">")
        or is_test(frame.path)
    ):
        return False
    waits = [event for event in events(body) if event.kind in ("collective", "implicit") and event.operation != SETTING]
    if not waits:
        return any(_is_computed(frame, call) for call in _calls(statement.body))
    spans = {event.span for event in waits if not event.chain}
    chained = any(event.chain for event in waits)
    return chained or any(_is_given(call) and call.span not in spans for call in _calls(statement.body))


def _is_broad(kind: Expr | None) -> bool:
    parts = kind.parts if isinstance(kind, Compound) else () if kind is None else (kind,)
    names = [(plain(part) or "").rpartition(".")[2] for part in parts]
    return kind is None or any(name in _BROAD for name in names)


def _raises(block: Block) -> bool:
    """Whether a handler raises an exception unconditionally."""
    return any(isinstance(statement, Exit) and statement.kind == "raise" for statement in block)


def _keeps(block: Block, name: str) -> bool:
    """Whether a handler stores the exception, to be raised or examined later."""
    caught = Name(name)
    return any(assign.value == caught for assign in assignments(block)) or any(
        caught in call.args and isinstance(call.function, Attribute) and call.function.name in _KEEPING
        for call in _calls(block)
    )


def _calls(block: Block) -> list[Call]:
    return [expr for expr in expressions(block) if isinstance(expr, Call)]


def _is_given(call: Call) -> bool:
    """Whether a call is not mere logging and has an argument that is not constant."""
    name = (plain(call.function) or "").rpartition(".")[2]
    given = (*call.args, *(value for _, value in call.keywords))
    return name not in _REPORTING and not all(isinstance(arg, Constant) for arg in given)


def _is_computed(frame: Frame, call: Call) -> bool:
    """Whether a call runs a function of the program with computed arguments."""
    if not _is_given(call):
        return False
    with Discarding(frame):
        target = evaluate(frame, call.function).reference.target
    return target is not None and target.kind == "function"


#: Methods that keep what they are given.
_KEEPING: Final = frozenset({"append", "put", "put_nowait", "set_exception"})
_REPORTING: Final = frozenset({"print", "debug", "info", "warning", "error", "critical", "exception"})
