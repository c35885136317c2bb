"""A rank's own data: values computed from them, and conditions on them. `own_sources` has where they come from.

Batches and the inputs of a model differ between ranks that have different data, and so does everything computed from
them until the ranks share it. That changes nothing in what ranks do until a condition tests the values: whether a loss
is finite, whether a mask selects anything, how large a sum is. Shapes and types are no such tests; which inputs are
present, and which parameters have a gradient, rarely differ, but may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Call,
    Compare,
    Name,
    Subscript,
    expressions,
)
from ..domain.causes import merged
from ..domain.recognise import is_list
from ..domain.remainders import written
from ..domain.symbol import WORLD, constant, subscript
from ..domain.symbol import name as name_symbol
from ..domain.value import UNKNOWN, Value
from .packing import packs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ...catalog.model import Catalog
    from ...ir.nodes import Block, Expr, Span
    from ...program.target import Target
    from ..domain.causes import Cause
    from ..domain.symbol import Symbol
    from ..summary.facts import FunctionFacts
    from .state import Frame


def made_of(frame: Frame, expr: Call, found: Value, values: Sequence[Value]) -> Value:
    """The result of a call without collectives: computed from its arguments' own data, or a test of their values."""
    own: Cause | None = None
    for value in values:
        own = own or value.origin.own
    if own is None:
        return found
    catalog = frame.context.catalog
    function = expr.function
    name = function.name if isinstance(function, Attribute) else (plain(function) or "").rpartition(".")[2]
    if any(word in catalog.sharing_words for word in name.lower().split("_")):
        return found if found.origin.own is None else found.sourced(own=None)
    target = values[0].reference.target
    asks = f"methods.{name}" in catalog.data_tests if target is None else target.name in catalog.data_tests
    if asks:
        cause = frame.cause("own data", expr.span)
        found = found.varying(
            varies=found.uniformity.varies | {WORLD}, causes=merged(found.uniformity.causes, (cause,))
        )
    if name in catalog.metadata:
        return found
    sized = len(values) > 1 and not is_list(values[1].written)
    if name in catalog.data_pieces and own.span == frame.function.span and sized and not found.extent.uneven:
        # As many pieces as the data of this rank need, of what a model is given.
        found = found.sized(uneven=(frame.cause("own data", expr.span),))
    if not found.extent.uneven and _selects(frame, function, target, values):
        found = found.sized(uneven=(frame.cause("own data", expr.span),))
        if name == "where":
            # Places in each of the dimensions, equally many.
            places = [found.but(symbol=subscript(found.symbol, constant(number))) for number in range(_DIMENSIONS)]
            found = found.referring(parts=tuple(places))
    if found.reference.parts:
        return found.referring(parts=tuple([_owned(part, own) for part in found.reference.parts]))
    return _owned(found, own)


#: Tensors with more dimensions than this are rarely looked into.
_DIMENSIONS: Final = 4


def _selects(frame: Frame, function: Expr, target: Target | None, values: Sequence[Value]) -> bool:
    """Whether the length of a call's result depends on the values in own data, as that of a selection does."""
    selecting = frame.context.catalog.data_selections
    name = function.name if target is None and isinstance(function, Attribute) else ""
    if name == "chunk" or (target is not None and target.name in ("builtins.range", "torch.chunk")):
        return any(value.origin.own is not None and _is_number_of(frame, value) for value in values[1:])
    if target is None:
        return f"methods.{name}" in selecting
    # `where(condition)` gives places; `where(condition, one, other)` as many elements as there were.
    return target.name in selecting and (len(values) == 2 or not target.name.endswith(".where"))


def _owned(value: Value, own: Cause) -> Value:
    """A result with a rank's own data in it, unless it is known to be something else."""
    if value.origin.own is not None or value.constant is not UNKNOWN or value.reference.instance is not None:
        return value
    return value if any(cause.kind == "received" for cause in value.origin.origins) else value.sourced(own=own)


def is_held(test: Expr, value: Value) -> bool:
    """Whether a filter keeps elements by the values in a rank's own data: by an entry of theirs or a computed test."""
    if value.origin.own is None:
        return False
    return bool(value.uniformity.varies) or isinstance(test, (Name, Attribute, Subscript))


def shared(frame: Frame, span: Span, causes: tuple[Cause, ...]) -> tuple[Cause, ...]:
    """The causes of unequal shares that ranks pick at `span` by their number: that place is added after the rank's."""
    if not any(cause.kind == "rank" for cause in causes):
        return causes
    return merged((causes[0], frame.cause("share", span)), causes[1:])


def asking(frame: Frame, expr: Compare, left: Value, right: Value, found: Value) -> Value:
    """A comparison: `loss.item() > limit`, `mask.sum() == 0`, `"images" in batch`, `parameter.grad is None`."""
    if found.uniformity.varies:
        return found
    kind = _asked_for(expr, left, right)
    if kind is not None:
        return found.varying(varies=frozenset({WORLD}), causes=(frame.cause(kind, frame.statement),))
    if expr.op not in _SIZES or (left.origin.own is None and right.origin.own is None):
        return found
    number, other = (left, right) if left.origin.own is not None else (right, left)
    cause = frame.cause("own data", frame.statement)
    if _is_number_of(frame, number):
        return found.varying(varies=frozenset({WORLD}), causes=(cause,))
    if isinstance(other.constant, str) or not _is_part(number):
        return found
    # One of the things in the data, or how many there are: alike on all ranks where the data are made so.
    return found.varying(varies=frozenset({WORLD}), causes=(cause,), maybe=True)


def _asked_for(expr: Compare, left: Value, right: Value) -> str | None:
    """The cause if a comparison tests for presence and ranks may differ in it; else None."""
    if expr.op in ("in", "not in"):
        return "own inputs" if right.origin.own is not None and isinstance(left.constant, str) else None
    if expr.op not in ("is", "is not") or right.constant is not None:
        return None
    if isinstance(expr.left, Attribute) and expr.left.name == "grad":
        return "gradient"
    if left.origin.own is None or left.symbol.parameter is not None:
        return None
    # A collate function that has nothing to give says so with None.
    return "own data" if left.symbol.head[:1] == ("each",) else "own inputs"


def _is_part(value: Value) -> bool:
    """Whether it is, or is computed from, an element of a container or a length."""
    return any(part.head[:1] == ("each",) or part is _LEN for part in value.written.walk())


_LEN: Final = name_symbol("len")
_SIZES: Final = frozenset({"<", ">", "<=", ">=", "==", "!="})


def _is_number_of(frame: Frame, value: Value) -> bool:
    """Whether it is a number computed from all elements of a tensor, such as a sum."""
    numbers = frame.context.catalog.data_numbers
    pending = [value.written]
    seen: set[Symbol] = set()
    while pending and len(seen) < _MOST_PARTS:
        for part in pending.pop().walk():
            if (name := _called(part)) is not None and name.removeprefix("torch.") in numbers:
                return True
            if part.kind == "place" and part not in seen:
                seen.add(part)
                pending.append(written(part, frame.variables))
    return False


#: Variables that are looked into for what a number is made of.
_MOST_PARTS: Final = 8


def _called(symbol: Symbol) -> str | None:
    """The name of the function or method in a call; None for other symbols."""
    is_named = symbol.kind == "call" and symbol.args[0].kind in ("attribute", "name")
    return str(symbol.args[0].head[0]) if is_named else None


def asks_of_own(catalog: Catalog, arguments: Mapping[str, Value]) -> Callable[[Symbol], bool] | None:
    """A predicate: whether a condition of a function tests values in its own-data arguments; None if it has none."""
    own = frozenset([name for name, value in arguments.items() if value.origin.own is not None])
    return (lambda symbol: is_asked(catalog, symbol, own)) if own else None


def answered(
    frame: Frame,
    asks: Callable[[Symbol], bool] | None,
    facts: FunctionFacts,
    arguments: Mapping[str, Value],
    found: Value,
) -> Value:
    """A function's result `found` at its call: it varies if it is the outcome of a test on own data.

    Its length varies if the function packs own data into it without a collective that agrees on the length.
    """
    if asks is None or facts.returns is None:
        return found
    if not found.extent.uneven and not facts.events:
        own = frozenset([name for name, value in arguments.items() if value.origin.own is not None])
        # What is asked about its body is not in its facts.
        frame.context.program.functions(facts.function.path)
        if packs(facts.function, own):
            found = found.sized(uneven=(frame.cause("own data", frame.statement),))
    if found.uniformity.varies or not asks(facts.returns.written):
        return found
    return found.varying(varies=frozenset({WORLD}), causes=(frame.cause("own data", frame.statement),))


def is_asked(catalog: Catalog, condition: Symbol, own: frozenset[str]) -> bool:
    """Whether a condition tests the values in the parameters with these names."""
    for part in condition.walk():
        name = _called(part)
        if name is None or part.parameters.isdisjoint(own):
            continue
        if name in catalog.data_tests or f"methods.{name}" in catalog.data_tests:
            return True
        if (
            condition.kind == "compare"
            and condition.head[0] in _SIZES
            and name.removeprefix("torch.") in catalog.data_numbers
        ):
            return True
    return False


def exhausted(frame: Frame, kind: Expr, block: Block, caught: Value) -> Value:
    """`except StopIteration`: this rank's own batches are exhausted, if the body calls `next` on a loader."""
    if not isinstance(kind, Name) or kind.id != "StopIteration":
        return caught
    for expr in expressions(block):
        match expr:
            case Call(function=Name(id="next"), args=(iterator,)):
                value = frame.variables.get(plain(iterator) or "")
                if not may_end_early(frame, value):
                    return caught
                causes = (
                    (frame.cause("loader", expr.span),)
                    if value is None or not value.extent.uneven
                    else value.extent.uneven
                )
                return caught.varying(varies=frozenset({WORLD}), causes=causes)
            case _:
                pass
    return caught


def restarts(handler: Block) -> bool:
    """Whether a handler restarts an exhausted iterator."""
    return any(
        isinstance(expr, Call) and expr.function in (Name("iter"), Name("next")) for expr in expressions(handler)
    )


def may_end_early(frame: Frame, iterator: Value | None) -> bool:
    """Whether a loader may have fewer batches than those of the other ranks, because nothing shows otherwise."""
    if iterator is not None and iterator.extent.uneven:
        return True
    if iterator is not None and (iterator.reference.kind is not None or iterator.reference.instance is not None):
        return False
    return not any(frame.context.calls_in(frame.path, name) for name in frame.context.catalog.even_loaders)
