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
_SPLITS: Final = ("output_split_sizes", "input_split_sizes")


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
        arguments = _Arguments(operator._schema)
        kind, describe = arguments.kind, arguments.describe
        below = torch._C._dispatch_keyset_full_after(torch._C.DispatchKey.BackendSelect)
        begin, mark, issued = self._tracer.begin, self._tracer.mark, self._issued
        redispatch, unbox = operator.redispatch, ProcessGroup.unbox

        def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            number = 0
            is_async = False
            try:
                values = arguments.complete(args, kwargs)
                is_async = arguments.is_async(values)
                group = unbox(values[arguments.group])
                number = begin(kind, group, arguments.key(values), describe, arguments.peer(values), is_async)
            except Exception as error:
                _warn_once(error)
            try:
                result = redispatch(keyset & below, *args, **kwargs)
            except BaseException:
                mark(number, State.FAILED)
                raise
            if number:
                issued(number, result, is_async)
            return result

        return kernel

    def _issued(self, number: int, result: Any, is_async: bool) -> None:
        """The operator has returned. With a handle, the call ends when somebody has waited for that."""
        handle = result[1] if type(result) is tuple else result
        if handle is None:
            self._tracer.mark(number, State.DONE)
            return
        work = Work.unbox(handle)
        # Python gets its own handle for the same work after we return; the two are one object only while ours lives.
        # It lives until the next call of this thread, or until somebody waits, whichever comes first.
        self._local.latest = (work, number)
        if is_async:
            self._tracer.mark(number, State.ISSUED)
            works, key = self._works, id(work)
            works[key] = (weakref.ref(work, lambda _: works.pop(key, None)), number)

    def _wrap_wait(self) -> None:
        original = Work.wait
        mark, works, local = self._tracer.mark, self._works, self._local

        def wait(work: Any, *args: Any, **kwargs: Any) -> Any:
            latest = getattr(local, "latest", None)
            if latest is not None and latest[0] is work:
                number = latest[1]
            else:
                known = works.get(id(work))
                number = known[1] if known is not None and known[0]() is work else 0
            local.latest = None
            mark(number, State.WAITING)
            try:
                result = original(work, *args, **kwargs)
            except BaseException:
                mark(number, State.FAILED)
                raise
            mark(number, State.DONE)
            return result

        Work.wait = wait  # type: ignore[method-assign,assignment]


class _Arguments:
    """Where an operator's arguments stand, and what of them is recorded. One for each operator, made once."""

    def __init__(self, schema: Any) -> None:
        short = schema.name.partition("::")[2]
        self._op = OPS[short]
        self._names = [argument.name for argument in schema.arguments]
        self._defaults = tuple(
            argument.default_value if argument.has_default_value() else None for argument in schema.arguments
        )
        self.kind = P2P if self._op in ("send", "recv") else COLLECTIVE
        self.group = self._names.index("process_group")
        self._peer = next((self._names.index(name) for name in _PEERS if name in self._names), None)
        self._async = self._names.index("async_op") if "async_op" in self._names else None
        self._tensors = self._position(_SHAPED.get(short) or _SENT.get(short))
        self._what = "tensors" if short in _SHAPED else "sent"
        self._reduce_op = self._position("reduce_op")
        self._splits = [self._names.index(name) for name in _SPLITS if name in self._names]

    def _position(self, name: str | None) -> int | None:
        return self._names.index(name) if name in self._names else None

    def complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments in order, defaults included."""
        values = args + self._defaults[len(args) :]
        if kwargs:
            return tuple(kwargs.get(name, value) for name, value in zip(self._names, values, strict=True))
        return values

    def is_async(self, values: tuple[Any, ...]) -> bool:
        """Does the caller get a handle? Point-to-point operators always give one."""
        return self._async is None or bool(values[self._async])

    def peer(self, values: tuple[Any, ...]) -> int:
        """The root or other side, as a rank of the group; -1 if there is none."""
        return -1 if self._peer is None else int(values[self._peer])

    def key(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """What tells calls apart, cheap to make: `describe` turns it into what is stored, once for each new key."""
        tensors = None if self._tensors is None else _shapes(values[self._tensors])
        if self._reduce_op is not None:
            return (self._op, tensors, values[self._reduce_op].op())
        if self._splits:
            return (self._op, tensors, *(tuple(values[index]) for index in self._splits))
        return (self._op, tensors)

    def describe(self, key: tuple[Any, ...]) -> dict[str, Any]:
        """The signature as it is stored."""
        op, tensors, *rest = key
        found: dict[str, Any] = {"op": op}
        if tensors is not None:
            found[self._what] = [[list(shape), str(dtype)] for shape, dtype in tensors]
        if self._reduce_op is not None:
            found["reduce_op"] = _REDUCE_NAMES.get(int(rest[0]), "?")
        else:
            found |= {self._names[index]: list(sizes) for index, sizes in zip(self._splits, rest, strict=True) if sizes}
        return found


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
        return ((tensors.shape, tensors.dtype),)
    if len(tensors) == 1 and isinstance(tensors[0], torch.Tensor):
        return ((tensors[0].shape, tensors[0].dtype),)
    return tuple(item for tensor in tensors for item in _shapes(tensor))


#: The dispatcher hands a reduce operation over as a box that can tell no more than its number.
_RED_OP_TYPE: Any = ReduceOp.RedOpType
_REDUCE_NAMES: Final[dict[int, str]] = {int(value): name for name, value in _RED_OP_TYPE.__members__.items()}


_warned: list[str] = []


def _warn_once(error: Exception) -> None:
    """A call that could not be recorded is no reason to disturb the job."""
    if not _warned:
        import warnings

        _warned.append(str(error))
        warnings.warn(f"collectivelint: a call could not be recorded: {type(error).__name__}: {error}", stacklevel=2)
