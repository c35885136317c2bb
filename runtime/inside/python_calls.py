"""The layer that sees calls from Python: the methods of ProcessGroup, which every function of torch.distributed ends in.

Names that were imported early, object collectives, FSDP2, DCP, DTensor's scatter, point-to-point, threads and inference
mode all come through here, for about five microseconds a call, record included. What C++ calls does not; see dispatcher_calls.py. A method that
is called in a form that is not known here is left to the kernels as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from torch._C._distributed_c10d import ProcessGroup, ReduceOp

from ..traces.model import State
from .dispatcher_calls import warn_once
from .signatures import shapes
from .tracer import COLLECTIVE, P2P

if TYPE_CHECKING:
    from collections.abc import Callable

    from .dispatcher_calls import Kernels
    from .tracer import Tracer
    from .work_handles import Handles

#: (key of the signature, root or peer as a rank of the group or -1, does the caller wait for a handle himself?).
_Read = tuple[tuple[Any, ...], int, bool]


#: The number of a reduce operation, which is its hash as well. To compare torch's objects takes more than a microsecond.
_MAX: Final[Any] = ReduceOp.MAX
_number: Final[Callable[[Any], int]] = (
    hash if hash(ReduceOp(_MAX)) == int(_MAX) else lambda operation: int(operation.op)
)


def _all_reduce(tensors: Any, opts: Any) -> _Read:
    return ("all_reduce", shapes(tensors), _number(opts.reduceOp)), -1, opts.asyncOp


def _all_reduce_coalesced(tensors: Any, opts: Any) -> _Read:
    return ("all_reduce_coalesced", shapes(tensors), _number(opts.reduceOp)), -1, opts.asyncOp


def _broadcast(tensors: Any, opts: Any) -> _Read:
    return ("broadcast", shapes(tensors)), opts.rootRank, opts.asyncOp


def _reduce(tensors: Any, opts: Any) -> _Read:
    return ("reduce", shapes(tensors), _number(opts.reduceOp)), opts.rootRank, opts.asyncOp


def _all_gather(output_lists: Any, tensors: Any, opts: Any) -> _Read:
    del output_lists
    return ("all_gather", shapes(tensors)), -1, opts.asyncOp


def _all_gather_single(output: Any, tensor: Any, opts: Any) -> _Read:
    del output
    return ("all_gather_into_tensor", ((tensor.shape, tensor.dtype),)), -1, opts.asyncOp


def _all_gather_singles(outputs: Any, tensors: Any, opts: Any) -> _Read:
    del outputs
    return ("all_gather_into_tensor_coalesced", shapes(tensors)), -1, opts.asyncOp


def _all_gather_coalesced(output_lists: Any, tensors: Any, opts: Any) -> _Read:
    del output_lists
    return ("all_gather_coalesced", shapes(tensors)), -1, opts.asyncOp


def _gather(output_lists: Any, tensors: Any, opts: Any) -> _Read:
    del output_lists
    return ("gather", shapes(tensors)), opts.rootRank, opts.asyncOp


def _scatter(tensors: Any, input_lists: Any, opts: Any) -> _Read:
    del input_lists
    return ("scatter", shapes(tensors)), opts.rootRank, opts.asyncOp


def _reduce_scatter(tensors: Any, input_lists: Any, opts: Any) -> _Read:
    del input_lists
    return ("reduce_scatter", shapes(tensors), _number(opts.reduceOp)), -1, opts.asyncOp


def _reduce_scatter_single(tensor: Any, whole: Any, opts: Any) -> _Read:
    del whole
    return ("reduce_scatter_tensor", ((tensor.shape, tensor.dtype),), _number(opts.reduceOp)), -1, opts.asyncOp


def _reduce_scatter_singles(tensors: Any, wholes: Any, opts: Any) -> _Read:
    del wholes
    return ("reduce_scatter_tensor_coalesced", shapes(tensors), _number(opts.reduceOp)), -1, opts.asyncOp


def _all_to_all(outputs: Any, tensors: Any, opts: Any) -> _Read:
    del outputs
    return ("all_to_all", shapes(tensors)), -1, opts.asyncOp


def _all_to_all_single(output: Any, tensor: Any, output_splits: Any, input_splits: Any, opts: Any) -> _Read:
    key = ("all_to_all_single", ((tensor.shape, tensor.dtype),), None, tuple(output_splits), tuple(input_splits))
    del output
    return key, -1, opts.asyncOp


def _barrier(opts: Any) -> _Read:
    return ("barrier", None), -1, opts.asyncOp


def _monitored_barrier(*_: Any, **__: Any) -> _Read:
    return ("monitored_barrier", None), -1, False


def _send(tensors: Any, dst: Any, tag: Any) -> _Read:
    return ("send", shapes(tensors), int(tag)), int(dst), True


def _recv(tensors: Any, src: Any, tag: Any) -> _Read:
    return ("recv", shapes(tensors), int(tag)), int(src), True


def _recv_anysource(tensors: Any, tag: Any) -> _Read:
    return ("recv", shapes(tensors), int(tag)), -1, True


#: Method -> what reads its arguments in the form that torch.distributed itself uses. Old and new names of torch.
_METHODS: Final[dict[str, Callable[..., _Read]]] = {
    "_allgather_base": _all_gather_single,
    "_reduce_scatter_base": _reduce_scatter_single,
    "all_gather_single": _all_gather_single,
    "all_gather_single_coalesced": _all_gather_singles,
    "all_to_all_single": _all_to_all_single,
    "allgather": _all_gather,
    "allgather_coalesced": _all_gather_coalesced,
    "allgather_into_tensor_coalesced": _all_gather_singles,
    "allreduce": _all_reduce,
    "allreduce_coalesced": _all_reduce_coalesced,
    "alltoall": _all_to_all,
    "alltoall_base": _all_to_all_single,
    "barrier": _barrier,
    "broadcast": _broadcast,
    "gather": _gather,
    "monitored_barrier": _monitored_barrier,
    "recv": _recv,
    "recv_anysource": _recv_anysource,
    "reduce": _reduce,
    "reduce_scatter": _reduce_scatter,
    "reduce_scatter_single": _reduce_scatter_single,
    "reduce_scatter_single_coalesced": _reduce_scatter_singles,
    "reduce_scatter_tensor_coalesced": _reduce_scatter_singles,
    "scatter": _scatter,
    "send": _send,
}


def install(tracer: Tracer, handles: Handles, kernels: Kernels) -> None:
    """Put a wrapper around each method that this torch has."""
    for name, read in _METHODS.items():
        original = getattr(ProcessGroup, name, None)
        if original is not None:
            setattr(ProcessGroup, name, _wrapped(original, read, tracer, handles, kernels))
    handles.wrap_coalescing()
    if hasattr(ProcessGroup, "shutdown"):
        _wrap_shutdown(tracer)


def _wrap_shutdown(tracer: Tracer) -> None:
    """What destroy_process_group ends in, whoever has imported it under which name."""
    original = ProcessGroup.shutdown

    def shutdown(group: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            tracer.destroy(group)
        except Exception as error:
            warn_once(error)
        return original(group, *args, **kwargs)

    ProcessGroup.shutdown = shutdown  # type: ignore[method-assign,assignment]


def _wrapped(original: Any, read: Callable[..., _Read], tracer: Tracer, handles: Handles, kernels: Kernels) -> Any:
    kind = P2P if read in (_send, _recv, _recv_anysource) else COLLECTIVE
    begin, end, local, issued = tracer.begin, tracer.end, kernels.local, handles.issued
    # Waits before it returns: an exception is no refusal.
    failed = tracer.reject if read is not _monitored_barrier else lambda number: end(number, State.FAILED)

    def method(group: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            key, peer, is_async = read(*args, **kwargs)
            number = begin(kind, group, key, peer, is_async)
        except Exception:
            # Another form of the call: what C++ makes of it has always the same form.
            kernels.install()
            return original(group, *args, **kwargs)
        local.inside = True
        try:
            work = original(group, *args, **kwargs)
        except BaseException:
            failed(number)
            raise
        finally:
            local.inside = False
        try:
            issued(number, work, is_async)
        except Exception as error:
            warn_once(error)
        return work

    method.__name__ = method.__qualname__ = original.__name__
    method.__doc__ = original.__doc__
    return method
