"""A rank's own data: where they enter a program, what is made of them, and what asks what is in them.

Batches and what a model is given differ between the ranks that have other data, and so does all that is made of them,
until the ranks share it. That changes nothing of what ranks do until a condition asks for it: whether a loss is a number,
whether a mask selects anything, how large a sum is. Shapes, types and keys are no such questions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import Attribute, Call, Compound, Constant, Evaluate, Loop, Name, blocks, expressions
from ...program.target import Target
from ..domain.causes import merged
from ..domain.flowing import flow
from ..domain.recognise import is_list
from ..domain.symbol import WORLD, constant, subscript
from ..domain.value import UNKNOWN, Value

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...ir.nodes import Block, Expr, Parameter
    from ..domain.causes import Cause
    from .state import Frame


def given(frame: Frame, parameter: Parameter, value: Value) -> Value:
    """A parameter of a function that a framework calls with this rank's data, such as `forward`."""
    function = frame.function
    if function.decorators and _is_dispatched(frame):
        return value.sourced(own=frame.cause("own data", function.span))
    if function.owner is None or parameter.default is not None:
        return value
    method = function.qualname.rpartition(".")[2]
    if method not in frame.context.catalog.data_methods or _is_plain(parameter):
        return value
    owner = Target("class", function.path, function.owner)
    outside = frame.context.program.outside(owner)
    if not any(f"{base}.{method}" in frame.context.catalog.data_parameters for base in outside):
        return value
    return value.sourced(own=frame.cause("own data", function.span))


def _is_dispatched(frame: Frame) -> bool:
    """Whether a decorator of a library says that each rank is called with a part of the data of its own."""
    for decorator in frame.function.decorators:
        if not isinstance(decorator, Call):
            continue
        target = frame.context.program.resolve(frame.path, plain(decorator.function) or "")
        api = frame.context.catalog.apis.get(target.name) if target is not None else None
        if api is None or not api.own_data:
            continue
        given_as = {**dict(zip(api.params, decorator.args, strict=False)), **dict(decorator.keywords)}
        for name, wanted in api.own_data:
            written = given_as.get(name)
            mode = written.value if isinstance(written, Constant) else plain(written) if written is not None else None
            if isinstance(mode, str) and mode.rpartition(".")[2] == wanted:
                return True
    return False


def _is_plain(parameter: Parameter) -> bool:
    """Whether the signature says that it is a number or a text."""
    return isinstance(parameter.annotation, Name) and parameter.annotation.id in ("int", "str", "bool", "float")


def batch(frame: Frame, statement: Loop, element: Value) -> Value:
    """What a loop binds that trains: `for batch in loader: ... loss.backward()`."""
    if not _trains(frame, statement.body):
        return element
    cause = frame.cause("own data", statement.head)
    if not isinstance(statement.target, Compound) or not _is_call(statement.iterable, "enumerate"):
        return element if _is_call(statement.iterable, "range") else element.sourced(own=cause)
    # Of `for number, batch in enumerate(loader)` the number is the same everywhere.
    parts = element.reference.parts or tuple(
        [flow(subscript(element.symbol, constant(number)), (element,)) for number in range(2)]
    )
    return element.referring(parts=(parts[0], *[part.sourced(own=cause) for part in parts[1:]]))


def _is_call(expr: Expr, name: str) -> bool:
    return isinstance(expr, Call) and isinstance(expr.function, Name) and expr.function.id == name


def _trains(frame: Frame, block: Block) -> bool:
    """Whether the turns of a loop, and not those of one inside it, go back through a model."""
    for statement in block:
        match statement:
            case Evaluate(value=Call(function=Attribute(name=name))):
                if name in frame.context.catalog.backward:
                    return True
            case Loop():
                pass
            case _:
                if any(_trains(frame, inner) for inner in blocks(statement)):
                    return True
    return False


def made_of(frame: Frame, expr: Call, found: Value, values: Sequence[Value]) -> Value:
    """The result of a call without collectives: made of the data that it was given, or asking what is in them."""
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
    if found.reference.parts:
        return found.referring(parts=tuple([_owned(part, own) for part in found.reference.parts]))
    return _owned(found, own)


def _owned(value: Value, own: Cause) -> Value:
    """A result with a rank's own data in it, unless it is known to be something else."""
    if value.origin.own is not None or value.constant is not UNKNOWN or value.reference.instance is not None:
        return value
    return value if any(cause.kind == "received" for cause in value.origin.origins) else value.sourced(own=own)


def asking(frame: Frame, op: str, left: Value, right: Value, found: Value) -> Value:
    """A comparison: `loss.item() > limit`, `mask.sum() == 0`."""
    if op not in _SIZES or found.uniformity.varies or (left.origin.own is None) is (right.origin.own is None):
        return found
    number = left if right.origin.own is None else right
    if not _is_number_of(frame, number):
        return found
    cause = frame.cause("own data", frame.statement)
    return found.varying(varies=frozenset({WORLD}), causes=(cause,))


_SIZES: Final = frozenset({"<", ">", "<=", ">=", "==", "!="})


def _is_number_of(frame: Frame, value: Value) -> bool:
    """Whether it is a number made of all that is in something."""
    numbers = frame.context.catalog.data_numbers
    return any(
        part.kind == "call"
        and part.args[0].kind in ("attribute", "name")
        and str(part.args[0].head[0]).removeprefix("torch.") in numbers
        for part in value.written.walk()
    )


def exhausted(frame: Frame, kind: Expr, block: Block, caught: Value) -> Value:
    """`except StopIteration`: this rank's own batches have come to an end, if `next` asks a loader for them."""
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
    """Whether a handler begins anew with what has come to an end."""
    return any(
        isinstance(expr, Call) and expr.function in (Name("iter"), Name("next")) for expr in expressions(handler)
    )


def may_end_early(frame: Frame, iterator: Value | None) -> bool:
    """Whether nothing says that a loader has as many batches as those of the other ranks."""
    if iterator is not None and iterator.extent.uneven:
        return True
    if iterator is not None and (iterator.reference.kind is not None or iterator.reference.instance is not None):
        return False
    return not any(frame.context.calls_in(frame.path, name) for name in frame.context.catalog.even_loaders)
