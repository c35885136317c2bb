"""The layer that sees every collective: kernels for all `c10d::*` operators at the BackendSelect key.

Each kernel notes the call and goes on to the kernel below. Python calls, names that were imported early, DDP's C++
reducer, FSDP2, DTensor, functional collectives, DCP, torch.compile, threads, `no_grad` and inference mode all come
through here; CUDA-graph replay, raw NCCL and symmetric memory do not. Everything torch-specific is in this module,
because the operators' signatures are not a public interface.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

import torch
from torch._C._distributed_c10d import ProcessGroup, ReduceOp, Work

from .record import State
from .tracer import COLLECTIVE, P2P

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tracer import Tracer

#: Operator -> the name people call it by. Operators that are not here do not communicate (`check_for_nan`).
OPS: Final = {
    "_allgather_base_": "all_gather_into_tensor",
    "_reduce_scatter_base_": "reduce_scatter_tensor",
    "allgather_": "all_gather",
    "allgather_coalesced_": "all_gather_coalesced",
    "allgather_into_tensor_coalesced_": "all_gather_into_tensor_coalesced",
    "allreduce_": "all_reduce",
    "allreduce_coalesced_": "all_reduce_coalesced",
    "alltoall_": "all_to_all",
    "alltoall_base_": "all_to_all_single",
    "barrier": "barrier",
    "broadcast_": "broadcast",
    "gather_": "gather",
    "monitored_barrier_": "monitored_barrier",
    "recv_": "recv",
    "recv_any_source_": "recv",
    "reduce_": "reduce",
    "reduce_scatter_": "reduce_scatter",
    "reduce_scatter_tensor_coalesced_": "reduce_scatter_tensor_coalesced",
    "scatter_": "scatter",
    "send": "send",
}
#: Which tensors of an operator have to have the same shape and dtype on every rank; of the others only the dtype is
#: compared, or nothing (gather lists exist on the root alone, all_to_all exchanges pieces of different sizes).
_SHAPED: Final = {
    "_allgather_base_": "input_tensor",
    "_reduce_scatter_base_": "output_tensor",
    "allgather_": "input_tensors",
    "allreduce_": "tensors",
    "allreduce_coalesced_": "tensors",
    "broadcast_": "tensors",
    "gather_": "input_tensors",
    "reduce_": "tensors",
    "reduce_scatter_": "output_tensors",
    "scatter_": "output_tensors",
}
_SENT: Final = {"alltoall_": "input_tensors", "alltoall_base_": "input", "recv_": "tensors", "send": "tensors"}
_PEERS: Final = ("root_rank", "src", "dst")


class Interception:
    """Installed kernels; they stay for the life of the process."""

    def __init__(self, tracer: Tracer) -> None:
        """Install; raise whatever torch raises if its operators are not as expected."""
        self._tracer = tracer
        # torch.library has no types of its own. The registration lives as long as this object does.
        library: Any = torch.library
        self._library = library.Library("c10d", "IMPL")
        self._works: dict[int, tuple[weakref.ref[Any], int]] = {}
        self._local = threading.local()
        for operator in _operators():
            self._library.impl(operator, self._kernel(operator), "BackendSelect", with_keyset=True)
        self._wrap_wait()

    def _kernel(self, operator: Any) -> Callable[..., Any]:
        schema = operator._schema
        short = schema.name.partition("::")[2]
        names = [argument.name for argument in schema.arguments]
        defaults = {
            argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()
        }
        is_p2p = OPS[short] in ("send", "recv")
        kind = P2P if is_p2p else COLLECTIVE
        below = torch._C._dispatch_keyset_full_after(torch._C.DispatchKey.BackendSelect)
        tracer, mark = self._tracer, self._tracer.mark
        redispatch = operator.redispatch

        def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            number = 0
            try:
                values = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
                group = ProcessGroup.unbox(values["process_group"])
                peer = next((values[name] for name in _PEERS if name in values), -1)
                is_async = bool(values.get("async_op", is_p2p))
                number = tracer.begin(kind, group, self._signature(short, values), peer, is_async=is_async)
            except Exception as error:
                _warn_once(error)
            try:
                result = redispatch(keyset & below, *args, **kwargs)
            except BaseException:
                mark(number, State.FAILED)
                raise
            if number:
                self._issued(number, result)
            return result

        return kernel

    def _signature(self, short: str, values: dict[str, Any]) -> tuple[Any, ...]:
        found: list[tuple[str, Any]] = [("op", OPS[short])]
        tensors = values.get(_SHAPED.get(short, ""))
        if tensors is not None:
            found.append(("tensors", _shapes(tensors)))
        elif (sent := values.get(_SENT.get(short, ""))) is not None:
            found.append(("sent", _shapes(sent)))
        if "reduce_op" in values:
            found.append(("reduce_op", _reduce_name(values["reduce_op"])))
        for name in ("output_split_sizes", "input_split_sizes"):
            if values.get(name):
                found.append((name, tuple(values[name])))
        return tuple(found)

    def _issued(self, number: int, result: Any) -> None:
        """The operator has returned. With a handle, the call ends when somebody has waited for that."""
        handle = result[1] if isinstance(result, tuple) else result
        if handle is None:
            self._tracer.mark(number, State.DONE)
            return
        work = Work.unbox(handle)
        self._tracer.mark(number, State.ISSUED)
        key = id(work)
        self._works[key] = (weakref.ref(work, lambda _: self._works.pop(key, None)), number)
        # Python gets its own handle for the same work after we return; the two are one object only while ours lives.
        self._local.latest = work

    def _wrap_wait(self) -> None:
        original = Work.wait
        tracer, works, local = self._tracer, self._works, self._local

        def wait(work: Any, *args: Any, **kwargs: Any) -> Any:
            known = works.get(id(work))
            number = known[1] if known is not None else 0
            local.latest = None
            tracer.mark(number, State.WAITING)
            try:
                result = original(work, *args, **kwargs)
            except BaseException:
                tracer.mark(number, State.FAILED)
                raise
            tracer.mark(number, State.DONE)
            return result

        Work.wait = wait  # type: ignore[method-assign,assignment]


def _operators() -> list[Any]:
    found = []
    for name in torch._C._dispatch_get_all_op_names():
        namespace, _, rest = name.partition("::")
        base, _, overload = rest.partition(".")
        if namespace == "c10d" and base in OPS:
            found.append(getattr(getattr(torch.ops.c10d, base), overload or "default"))
    return found


def _shapes(tensors: Any) -> tuple[Any, ...]:
    """Shape and dtype of each tensor, in lists of lists too."""
    if isinstance(tensors, torch.Tensor):
        return ((tuple(tensors.shape), tensors.dtype),)
    return tuple(item for tensor in tensors for item in _shapes(tensor))


_RED_OP_TYPE: Any = ReduceOp.RedOpType
_REDUCE_NAMES: Final[dict[int, str]] = {int(value): name for name, value in _RED_OP_TYPE.__members__.items()}


def _reduce_name(boxed: Any) -> str:
    """The name of a reduce operation; what the dispatcher hands over can tell no more than its number."""
    return _REDUCE_NAMES.get(int(boxed.op()), "?")


_warned: list[str] = []


def _warn_once(error: Exception) -> None:
    """A call that could not be recorded is no reason to disturb the job."""
    if not _warned:
        import warnings

        _warned.append(str(error))
        warnings.warn(f"collectivelint: a call could not be recorded: {type(error).__name__}: {error}", stacklevel=2)
