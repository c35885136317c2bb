"""Values computed from parts: displays, arithmetic, slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.nodes import Constant
from ..calls.averages import divided
from ..calls.library_calls import share_of
from ..domain import symbol as symbols
from ..domain.causes import Length
from ..domain.counts import counted
from ..domain.flowing import flow, holding, stamped
from ..domain.multiples import padded
from ..domain.recognise import is_list
from ..domain.symbol import call, compound, make
from ..domain.value import Value
from ..effects import Repeat, Yielded
from .generators import own_length
from .guards import trips_of

if TYPE_CHECKING:
    from ...ir.nodes import Compound
    from .state import Frame


_LEN: Final = symbols.name("len")
_TABLES: Final = frozenset({"Dict", "JoinedStr", "FormattedValue"})


def computed_from(frame: Frame, expr: Compound, values: list[Value]) -> Value:
    """What is computed from parts."""
    kind = expr.kind
    # Whether a text or a table is empty does not depend on the rank written into it.
    computed = flow(compound(kind, [value.symbol for value in values]), values, ranks=kind not in _TABLES)
    match kind:
        case "JoinedStr" | "FormattedValue":
            return stamped(computed, values)
        case "Tuple":
            # A result in several parts: each of them says where it comes from.
            return computed.referring(parts=tuple(values), item=holding(values)).sourced(origins=())
        case "Dict" if len(values) % 2 == 0 and (item := holding(values[len(values) // 2 :])) is not None:
            return computed.referring(item=item)
        case "List" | "item":
            return computed.referring(parts=tuple(values), item=holding(values))
        case "Set" if len(values) > 1 and not all(isinstance(value.constant, int) for value in values):
            return computed.sized(unordered=frame.cause("data", frame.statement))
        case "Sub" | "BitAnd" | "BitOr" | "BitXor" if any(value.extent.unordered for value in values):
            return computed.sized(unordered=next(value.extent.unordered for value in values if value.extent.unordered))
        case "augmented" if is_list(values[0].was) or (
            values[0].extent.length is not None and values[0].extent.length.kind != "made"
        ):
            # `batch += [-1] * (size - len(batch))` makes it as long as everybody knows.
            is_padded = values[1].symbol.contains(call(_LEN, (values[0].symbol,)))
            length = None if is_padded else Length("grown", frame.cause("data", frame.statement))
            return computed.sized(length=length, whole=padded(values[0], values[1], frame.variables))
        case "augmented" | "Add" if whole := padded(values[0], values[1], frame.variables):
            return computed.sized(whole=whole)
        case "Mult" if len(values) == 2:
            # `[None] * world_size`
            size_of = next((value.extent.size_of for value in values if value.extent.size_of), None)
            return computed.sized(size_of=size_of, length=None if size_of else share_of(values))
        case "Div" if values[0].origin.summed is not None or (
            values[1].extent.size_of is not None and values[0].extent.size_of is None and expr.parts[0] != Constant(1)
        ):
            found = divided(frame, frame.statement, values[0], values[1], computed)
            if values[1].extent.size_of is None:
                return found
            return found.sized(length=Length("share", frame.cause("data", frame.statement)))
        case "FloorDiv" | "Div" if values[1].extent.size_of is not None and values[0].extent.size_of is None:
            # `hidden_size // world_size`
            return computed.sized(length=Length("share", frame.cause("data", frame.statement)))
        case "Add" if (
            values[1].constant == 1
            and values[0].extent.length is not None
            and values[0].extent.length.kind == "highest"
        ):
            frame.note("guess", frame.statement, (values[0].extent.length.cause,), *expr.parts[:1])
            return computed
        case "Add" | "Sub" | "FloorDiv" if share_of(values) is not None:
            return computed.sized(length=share_of(values))
        case "Slice" if len(values) == 3 and values[2].uniformity.varies:
            # `items[rank::world_size]`: the shards of an odd number of items are not equally long.
            return computed.sized(uneven=values[2].uniformity.causes)
        case "Slice" if len(values) == 3 and values[0].uniformity.varies and not values[1].uniformity.varies:
            return computed.sized(uneven=values[0].uniformity.causes)
        case "yield":
            frame.emit(Yielded())
            return Value(frame.fresh("sent", frame.statement))
        case "yield from":
            turns = make("loop", ("for",), (counted(values[0].symbol, frame.variables),))
            trips = trips_of(frame, values[0], own_length(frame, values[0]), frame.statement)
            frame.emit(Repeat(turns, (Yielded(),), trips))
            return values[0]
        case _:
            return computed
