"""Library calls that iterate over all or part of a container: the number of elements on this rank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Attribute, Call, Name, assignments
from ..domain.symbol import WORLD
from ..domain.value import NONE
from ..transfer.generators import own_length
from ..transfer.own_data import may_end_early

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..domain.causes import Cause
    from ..domain.value import Value
    from ..transfer.state import Frame


def iterating(
    frame: Frame, expr: Call, callee: Value, args: Sequence[Value], keywords: Mapping[str, Value], found: Value
) -> Value:
    """`found`, the result of a call, with the length that it has on this rank."""
    target = callee.reference.target
    if found.extent.uneven or (target is not None and target.kind != "external"):
        return found
    catalog, function = frame.context.catalog, expr.function
    name = function.name if target is None and isinstance(function, Attribute) else ""
    if isinstance(function, Attribute) and f"methods.{function.name}" in catalog.unequal_shares:
        # The object knows its rank.
        padding = keywords.get("apply_padding", args[1] if len(args) > 1 else None)
        is_padded = padding is not None and padding.constant is not False
        return found if is_padded else found.sized(uneven=(frame.cause("share", expr.span),))
    if (name if target is None else target.name) in catalog.unequal_shares:
        given = (*args, *keywords.values())
        return found.sized(uneven=next((of_rank for value in given if (of_rank := _of_rank(value))), ()))
    if target is None or not args:
        return found
    if target.name in catalog.iterators:
        sources = args[1:] if target.name in _AFTER_A_FUNCTION else args
        return found.sized(uneven=next((uneven for value in sources if (uneven := own_length(frame, value))), ()))
    match target.name:
        case "itertools.islice" if len(args) > 1:
            return found.sized(uneven=_sliced(frame, args))
        case "torch.utils.data.Subset" | "torch.utils.data.dataset.Subset" if len(args) > 1:
            return found.sized(uneven=args[1].extent.uneven)
        case "builtins.next" if len(args) == 2 and args[1] is NONE:
            return _next(frame, expr, args[0], found)
        case _:
            return found


_AFTER_A_FUNCTION: Final = ("builtins.filter", "builtins.map")


def _of_rank(value: Value) -> tuple[Cause, ...]:
    """The causes of a value that differs between ranks, if one of them is the rank number; else none."""
    causes = value.uniformity.causes
    return causes if value.uniformity.varies and any(cause.kind == "rank" for cause in causes) else ()


def _sliced(frame: Frame, args: Sequence[Value]) -> tuple[Cause, ...]:
    """Why `islice(items, start, stop, step)` gives more elements on some ranks."""
    if len(args) == 2:
        return args[1].uniformity.causes if args[1].uniformity.varies else ()
    start, stop = args[1:3]
    step = args[3] if len(args) > 3 else NONE
    if step.uniformity.varies:
        return step.uniformity.causes
    if bool(start.uniformity.varies) is not bool(stop.uniformity.varies):
        return start.uniformity.causes or stop.uniformity.causes
    return own_length(frame, args[0]) if stop is NONE else ()


def _next(frame: Frame, expr: Call, iterator: Value, found: Value) -> Value:
    """`next(batches, None)`: None once this rank's own batches have come to an end."""
    iterator_of = expr.args[0]
    if not isinstance(iterator_of, (Name, Attribute)) or not may_end_early(frame, iterator):
        return found
    is_begun = any(
        iterator_of in one.targets and isinstance(one.value, Call) and one.value.function == Name("iter")
        for one in assignments(frame.function.body)
    )
    if not iterator.extent.uneven and not (is_begun and frame.turns):
        return found
    causes = iterator.extent.uneven or (frame.cause("loader", expr.span),)
    return found.varying(absent=frozenset({WORLD}), causes=causes)
