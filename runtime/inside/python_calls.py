"""The layer that records calls from Python: the methods of ProcessGroup, which all functions of torch.distributed call.

It covers names that were imported early, object collectives, FSDP2, DCP, DTensor's scatter, point-to-point, threads and
inference mode, for about five microseconds a call, record included. Calls from C++ bypass it; see dispatcher_calls.py.
A method that is called in a form that is not known here is left to the kernels as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch.distributed
from torch.distributed import ProcessGroup, ReduceOp

from ..operations import OPERATIONS
from ..traces.model import State
from . import shown
from .dispatcher_calls import warn_once
from .signatures import shapes
from .tracer import COLLECTIVE, P2P

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..operations import Operation, Tensors
    from .dispatcher_calls import Kernels
    from .tracer import Tracer
    from .work_handles import Handles

#: (key of the signature, root or peer as a rank of the group or -1, does the caller wait for a handle himself?).
_Read: TypeAlias = "tuple[tuple[Any, ...], int, bool]"
#: Raises where the arguments are not in the form in which torch.distributed itself passes them.
_Reader: TypeAlias = "Callable[[tuple[Any, ...], dict[str, Any]], _Read]"
#: The number of a reduce operation, which is its hash as well. To compare torch's objects takes more than a microsecond.
_MAX: Final[Any] = ReduceOp.MAX
_number: Final[Callable[[Any], int]] = (
    hash if hash(ReduceOp(_MAX)) == int(_MAX) else lambda operation: int(operation.op)
)
#: Which argument has the tensors, and whether it is one tensor.
_GIVEN: Final = {
    "first": (0, True),
    "second": (1, True),
    "second, splits": (1, True),
    "first list": (0, False),
    "second list": (1, False),
}
#: Of these the second argument is what this rank contributes: tensors, or one.
_GATHERS: Final = frozenset(
    {"all_gather", "all_gather_coalesced", "all_gather_into_tensor", "all_gather_into_tensor_coalesced", "gather"}
)


def _reader(operation: Operation, tensors: Tensors) -> _Reader:
    """A function that reads the arguments of an operation's method. It runs in each call."""
    op = operation.name
    match tensors:
        case "none":
            return lambda _, __: ((op, None), -1, False)
        case "options":
            return lambda args, kwargs: ((op, None), -1, (_all(args, kwargs) if kwargs else args)[-1].asyncOp)
        case "peer" | "any":
            return _point_to_point(op, has_peer=tensors == "peer")
    position, single = _GIVEN[tensors]
    splits = tensors == "second, splits"
    reduces, rooted = "reduce_op" in operation.equal, "root" in operation.equal

    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Read:
        if kwargs:
            args = _all(args, kwargs)
        given, options = args[position], args[-1]
        if single:
            recorded: tuple[Any, ...] = ((given.shape, given.dtype),)
        elif len(given) == 1:
            (tensor,) = given
            recorded = ((tensor.shape, tensor.dtype),)
        else:
            recorded = shapes(given)
        if reduces:
            # The fewest steps for all_reduce.
            return (op, recorded, _number(options.reduceOp)), options.rootRank if rooted else -1, options.asyncOp
        if splits:
            return (op, recorded, None, tuple(args[2]), tuple(args[3])), -1, options.asyncOp
        return (op, recorded), options.rootRank if rooted else -1, options.asyncOp

    return read


def _point_to_point(op: str, *, has_peer: bool) -> _Reader:
    def read(args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Read:
        tensors, *peer, tag = _all(args, kwargs) if kwargs else args
        (other,) = peer if has_peer else (*peer, -1)
        return (op, shapes(tensors), int(tag)), int(other), True

    return read


def _all(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments in order. Raises if a keyword other than the last argument is given."""
    ((name, value),) = kwargs.items()
    if name not in ("opts", "tag"):
        raise TypeError(name)
    return (*args, value)


def install(tracer: Tracer, handles: Handles, kernels: Kernels) -> tuple[str, ...]:
    """Wrap each method that this torch has; return the operations of this torch that have none."""
    gather = shown.begin(tracer).gather
    missing = []
    for operation in OPERATIONS:
        there = [name for name in operation.methods if hasattr(ProcessGroup, name)]
        if not there and any(hasattr(torch.distributed, name) for name in operation.functions):
            missing.append(operation.name)
        for name in there:
            read = _reader(operation, operation.methods[name])
            noted = gather if operation.name in _GATHERS else None
            original = getattr(ProcessGroup, name)
            setattr(ProcessGroup, name, _wrapped(original, operation, read, tracer, handles, kernels, noted))
    return tuple(missing)


def _wrapped(
    original: Any,
    operation: Operation,
    read: _Reader,
    tracer: Tracer,
    handles: Handles,
    kernels: Kernels,
    gather: Callable[[Any, Any], None] | None,
) -> Any:
    kind = P2P if operation.kind == "p2p" else COLLECTIVE
    begin, end, local, issued = tracer.begin, tracer.end, handles.local, handles.issued
    told = tracer.watch(operation)
    # Waits before it returns: an exception is no refusal.
    failed = tracer.reject if operation.name != "monitored_barrier" else lambda number, *_: end(number, State.FAILED)

    def method(group: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            key, peer, is_async = read(args, kwargs)
            number = begin(kind, group, key, peer, is_async)
        except Exception:
            # Another form of the call: what C++ makes of it has always the same form.
            return kernels.around(original)(group, *args, **kwargs)
        if told is not None:
            told(number, args[0])
        mine = local.mine
        mine.inside = True
        try:
            # To pass keywords takes longer, even where there are none.
            work = original(group, *args, **kwargs) if kwargs else original(group, *args)
        except BaseException:
            failed(number, key[0], group)
            raise
        finally:
            mine.inside = False
        try:
            issued(number, work, is_async, mine)
            if gather is not None and len(args) > 1:
                gather(group, args[1] if isinstance(args[1], (list, tuple)) else (args[1],))
        except Exception as error:
            warn_once(error)
        return work

    method.__name__ = method.__qualname__ = original.__name__
    method.__doc__ = original.__doc__
    return method
