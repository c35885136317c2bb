"""Handlers that call their own function once more: the collectives they seem to skip run in that call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...findings.confidence import Confidence
from ...ir.nodes import Attribute, Call, Exit, Name
from ...program.target import Target
from ..effects import Leave, events, map_term, parts
from .expressions import evaluate

if TYPE_CHECKING:
    from ..effects import Item, Term
    from .state import Frame


def is_retry(frame: Frame, statement: Exit) -> bool:
    """Whether a handler returns the result of calling its own function again."""
    match statement:
        case Exit(kind="return", value=Call(function=Name() | Attribute() as function)):
            if not any(guard.symbol.kind == "caught" for guard, _ in frame.guards):
                return False
            own = Target("function", frame.path, frame.function.qualname)
            return evaluate(frame, function).reference.target == own
        case _:
            return False


def settled_retries(term: Term) -> Term:
    """The term with each retry treated like a re-raised error: the call that it makes is judged by itself.

    A retry after collectives that certainly ran stays a return: its call repeats them, and the other ranks do not. A
    pass of a wrapped model that rarely runs collectives is not certain.
    """
    repeating: set[int] = set()
    pending = [(term, False)]
    while pending:
        current, has_run = pending.pop()
        for item in current:
            if isinstance(item, Leave) and has_run:
                repeating.add(id(item))
            inner = parts(item)
            pending += [(part, has_run) for part in inner]
            has_run = has_run or (not inner and any(event.confidence is Confidence.HIGH for event in events((item,))))

    def settled(item: Item) -> Term:
        return (Leave("raise"),) if isinstance(item, Leave) and item.again and id(item) not in repeating else (item,)

    return map_term(term, settled)
