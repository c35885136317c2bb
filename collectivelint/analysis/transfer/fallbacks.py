"""Fall-backs for attributes that are not set yet: if other code sets the attribute, ranks use its value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...program.target import Target
from ..domain.symbol import constant

if TYPE_CHECKING:
    from ..domain.symbol import Symbol
    from ..domain.value import Value
    from .state import Frame

_NONE: Final = constant(None)


def without_fallback(frame: Frame, value: Value) -> Value:
    """A returned value; `return clock() if self.total is None else self.total` varies only until the total is set.

    A value that varies by rank stays as it is: ranks differ from the start.
    """
    by_rank = any(cause.kind == "rank" for cause in value.uniformity.causes)
    if not value.uniformity.varies or by_rank or not any(_is_unset(frame, condition) for condition in frame.conditions):
        return value
    return value.varying(maybe=True)


def _is_unset(frame: Frame, condition: Symbol) -> bool:
    """Whether a condition says that an attribute of `self` is None which gets the same value on all ranks."""
    owner = frame.function.owner
    if owner is None or condition.kind != "compare" or condition.head[0] != "is" or condition.args[1] is not _NONE:
        return False
    asked = condition.args[0]
    params = frame.function.params[:1]
    if asked.kind != "attribute" or not any(asked.args[0].parameter == parameter.name for parameter in params):
        return False
    known = frame.context.attribute(Target("class", frame.path, owner), str(asked.head[-1]))
    return known is not None and known.reference.optional and not known.uniformity.varies
