"""Where a rank's own data enter a program: arguments from frameworks, and the batches of training loops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ...ir.names import plain
from ...ir.nodes import (
    Attribute,
    Call,
    Compound,
    Constant,
    Evaluate,
    Loop,
    Name,
    Subscript,
    assignments,
    blocks,
    calls,
    expressions,
    walk,
)
from ...program.target import Target
from ..domain.flowing import flow
from ..domain.symbol import WORLD, constant, subscript
from ..domain.wrapped import Wrapped
from .expressions import evaluate
from .hooks import passed_in
from .scopes import Discarding

if TYPE_CHECKING:
    from ...ir.nodes import Block, Expr, Parameter
    from ..domain.value import Value
    from .state import Frame

#: A model that `accelerate` has wrapped, as the arguments of a program say.
PREPARED: Final = Wrapped("accelerate.PreparedModel", WORLD)


def given(frame: Frame, parameter: Parameter, value: Value) -> Value:
    """A parameter of a function that a framework calls with this rank's data, such as `forward`."""
    function, value = frame.function, passed_in(frame, parameter, value)
    if function.decorators and _is_dispatched(frame):
        return value.sourced(own=frame.cause("own data", function.span))
    if function.owner is None or parameter.default is not None:
        return value
    method = function.qualname.rpartition(".")[2]
    if method not in frame.context.catalog.data_methods or _is_plain(parameter):
        return value
    owner = Target("class", function.path, function.owner)
    outside = frame.context.program.outside(owner)
    names = [f"{base}.{method}" for base in outside]
    catalog = frame.context.catalog
    if any(f"{name}({parameter.name})" in catalog.wrapped_parameters for name in names):
        return value if value.reference.wrapped is not None else value.referring(wrapped=PREPARED)
    if not any(
        name in catalog.data_parameters or f"{name}({parameter.name})" in catalog.data_parameters for name in names
    ):
        return value
    return value.sourced(own=frame.cause("own data", function.span))


def _is_dispatched(frame: Frame) -> bool:
    """Whether a library decorator says that each rank is called with its own part of the data."""
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


def batch(frame: Frame, statement: Loop, over: Value, element: Value) -> Value:
    """The element of a training loop, or of one `over` a loader: `for batch in loader: ... loss.backward()`."""
    bound = None if statement.target is None else plain(statement.target)
    if _loader(frame, statement, over) not in _LOADERS and not _trains(frame, statement.body, bound):
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


def _loader(frame: Frame, statement: Loop, over: Value) -> str | None:
    """The class of the loop's iterable, also inside `enumerate`."""
    match statement.iterable:
        case Call(function=Name(id="enumerate"), args=(Name() | Attribute() as items, *_)):
            with Discarding(frame):
                return evaluate(frame, items).reference.kind
        case _:
            return over.reference.kind


_LOADERS: Final = ("torch.utils.data.DataLoader", "torch.utils.data.dataloader.DataLoader")


def _trains(frame: Frame, block: Block, bound: str | None) -> bool:
    """Whether a loop's iterations run a backward pass; an inner loop counts if it iterates over parts of `bound`."""
    for statement in block:
        if bound is not None and any(_trains_with(frame, call, bound) for call in calls(statement)):
            return True
        match statement:
            case Evaluate(value=Call(function=Attribute(name=name))):
                if name in frame.context.catalog.backward:
                    return True
            case Loop(iterable=iterable, body=body):
                if bound is not None and _runs_over(iterable, bound, block) and _trains(frame, body, None):
                    return True
            case _:
                if any(_trains(frame, inner, bound) for inner in blocks(statement)):
                    return True
    return False


def _trains_with(frame: Frame, call: Call, bound: str) -> bool:
    """Whether `bound` is passed to a function of the program that runs a backward pass."""
    if not any(plain(arg) == bound for arg in (*call.args, *(value for _, value in call.keywords))):
        return False
    program, name = frame.context.program, plain(call.function) or ""
    owner, _, method = name.rpartition(".")
    own = frame.function.params[0].name if frame.function.owner is not None and frame.function.params else ""
    if own and owner == own:
        target = program.method(Target("class", frame.path, frame.function.owner or ""), method)
    else:
        target = program.resolve(frame.path, name) if name else None
    if target is None or target.kind != "function":
        return False
    function = program.functions(target.path).get(target.name)
    return function is not None and any(
        isinstance(expr, Call)
        and isinstance(expr.function, Attribute)
        and expr.function.name in frame.context.catalog.backward
        for expr in expressions(function.body)
    )


def _runs_over(iterable: Expr, bound: str, block: Block) -> bool:
    """Whether a loop iterates over parts of `bound`: an entry, chunks of it, or a range that indexes it."""
    match iterable:
        case Call(function=Name(id="range")):
            return any(isinstance(expr, Subscript) and plain(expr.value) == bound for expr in expressions(block))
        case Call(function=Name(id=("zip" | "enumerate")), args=args):
            return any(_runs_over(arg, bound, block) for arg in args)
        case Name(id=name):
            return name != bound and any(
                iterable in one.targets and any(_is_part(part, bound) for part in walk(one.value))
                for one in assignments(block)
            )
        case Call(function=Name(), args=args):
            return any(
                _is_part(arg, bound) or (isinstance(arg, Name) and _runs_over(arg, bound, block)) for arg in args
            )
        case _:
            return _is_part(iterable, bound)


def _is_part(expr: Expr, bound: str) -> bool:
    """Whether it is `batch["samples"]` or `batch.split(size)`, or chunks of an entry."""
    match expr:
        case Call(function=Attribute(value=Subscript(value=value), name=("chunk" | "split"))):
            return plain(value) == bound
        case Subscript(value=value) | Call(function=Attribute(value=value, name=("chunk" | "split"))):
            return plain(value) == bound
        case _:
            return False
