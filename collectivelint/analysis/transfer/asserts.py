"""`assert`: checks of received data, and the conditions known to be true after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...ir.nodes import Assert, Attribute, Call, Compare, Constant, Expr, Logical, Name, Not
from ..domain.multiples import settle
from ..summary.model import Invariant
from .expressions import evaluate

if TYPE_CHECKING:
    from .state import Frame


def asserted(frame: Frame, statement: Assert) -> None:
    """Evaluate an `assert`; record it if it checks data of other ranks or of a checkpoint."""
    if statement.message is not None:
        with frame.collecting():
            evaluate(frame, statement.message)
    test = statement.test
    checked = evaluate(frame, test)
    settle(frame.variables, checked.symbol)
    origins = checked.origin.origins or next(
        (part.origin.origins for part in checked.reference.parts if part.origin.origins), ()
    )
    if origins and not _narrows(test):
        frame.facts.invariants.append(Invariant(frame.function, statement.span, origins))
    frame.conditions.append(checked.symbol)


def _narrows(test: Expr) -> bool:
    """Whether an assert only narrows the type of a value, for a type checker or a reader."""
    match test:
        case Logical(values=values):
            return all(_narrows(value) for value in values)
        case Not(value=value):
            return _narrows(value)
        case Compare(op="is" | "is not"):
            return True
        case Compare(op="in" | "not in", left=Constant()):
            # Which keys there are is a matter of the format; a look-up that follows raises by itself.
            return True
        case Compare(left=Call(function=Name(id="type"))):
            return True
        case Call(function=Name(id="isinstance" | "hasattr" | "callable" | "issubclass")):
            return True
        case Name() | Attribute():
            return True
        case _:
            return False
