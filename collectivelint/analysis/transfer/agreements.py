"""Numbers that ranks agree on only if given a group: `if group is not None: all_reduce(count, MAX, group=group)`.

The reduction shows that ranks have different numbers. A call without the group gets its rank's own number, and whatever
has that length differs in length between ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Attribute, Constant
from ..domain.causes import Agreed
from ..domain.recognise import ADDING
from ..domain.settled import settled
from ..domain.symbol import constant
from ..domain.value import UNKNOWN, Value
from .binding import bind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ...ir.nodes import Call
    from ..domain.causes import Cause
    from .state import Frame

#: Reductions after which all ranks have the number that one of them had.
_CHOOSING: Final = frozenset({"MAX", "MIN"})


def agreed_in(frame: Frame, guard: Value, reduced: Value, own: Value, found: Value) -> Value:
    """A variable after a branch that has it `reduced` over ranks where `guard` is true, and `own` in the other arm."""
    if own.constant is not UNKNOWN:
        return found
    for cause in reduced.origin.origins:
        call = frame.facts.calls_at.get(cause.span) if cause not in own.origin.origins else None
        if call is None or call.api.operation != "all_reduce" or call.group is None:
            continue
        op, name = call.values.get(call.api.roles.get("op", "")), call.group.given_as
        if op is None or not op.symbol.head or name is None or not _is_optional(frame, name):
            continue
        chooses = str(op.symbol.head[-1]).rpartition(".")[2].upper() in _CHOOSING
        if chooses and settled(guard.symbol.substitute({name: constant(None)})) is False:
            return _agreed(found, Agreed(name, cause))
    return found


def _is_optional(frame: Frame, name: str) -> bool:
    """Whether a parameter is None unless a call passes something else."""
    return any(item.name == name and item.default == Constant(None) for item in frame.function.params)


def _agreed(value: Value, agreed: Agreed | None) -> Value:
    return value if value.origin.agreed == agreed else value.but(origin=value.origin.but(agreed=agreed))


def made_of_agreed(frame: Frame, expr: Call, found: Value, values: Sequence[Value]) -> Value:
    """The result of a call without collectives whose arguments include an agreed number or have such a length."""
    agreed: Agreed | None = None
    own: tuple[Cause, ...] = ()
    for value in values:
        agreed = agreed or value.origin.agreed
        own = own or (value.extent.uneven if is_own(value.extent.uneven) else ())
    if own and not found.extent.uneven and found.constant is UNKNOWN:
        found = found.sized(uneven=own)
    if agreed is None:
        return found
    if isinstance(expr.function, Attribute) and expr.function.name in ADDING:
        receiver = values[0].reference.receiver
        if receiver is not None:
            bind(frame, expr.function.value, _agreed(receiver, agreed))
    if found.constant is not UNKNOWN:
        return found
    return _agreed(found, agreed)


def is_own(causes: tuple[Cause, ...]) -> bool:
    """Whether a number or a length is a rank's own, because no group to agree in was passed."""
    return any(cause.kind == "no agreement" for cause in causes)


def decided(frame: Frame, expr: Call, returned: Value, found: Value, arguments: Mapping[str, Value]) -> Value:
    """The result `found` of a call whose function has `returned` a value, once it is known if a group is passed."""
    parts = [
        decided(frame, expr, part, known, arguments)
        for part, known in zip(returned.reference.parts, found.reference.parts, strict=False)
    ]
    if parts:
        found = found.referring(parts=(*parts, *found.reference.parts[len(parts) :]))
    agreed = returned.origin.agreed
    if agreed is None:
        return found
    group = arguments.get(agreed.parameter)
    if group is not None and group.given_as is not None:
        return _agreed(found, Agreed(group.given_as, agreed.cause))
    found = _agreed(found, None)
    if group is None or group.constant is not None or parts:
        return found
    return found.sized(uneven=(frame.cause("no agreement", expr.span),))
