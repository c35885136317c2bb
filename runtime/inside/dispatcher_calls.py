"""The layer that sees calls from C++: kernels at the BackendSelect key of operators, which go on to the kernels below.

For `_c10d_functional::*` and DTensor's own operator they are there from the beginning: functional collectives, DTensor's
redistribution and torch.compile call those. For `c10d::*` they would add seven microseconds to each call from Python, which
python_calls.py sees for less; so they come when something is used that calls from C++: DDP's reducer, `_broadcast_coalesced`,
a method in a form that python_calls.py does not know. CUDA-graph replay, raw NCCL and symmetric memory are seen by none of this.
Everything that depends on the operators' schemas, which are no public interface, is in this module.
"""

from __future__ import annotations

import functools
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import torch
from torch._C._distributed_c10d import ProcessGroup, Work

from ..operations import C10D, DTENSOR, FUNCTIONAL
from ..say import say
from ..traces.model import State
from .signatures import nested, reduce_name, shapes
from .tracer import COLLECTIVE, P2P

if TYPE_CHECKING:
    from collections.abc import Callable

    from .tracer import Tracer
    from .work_handles import Handles

_PEERS: Final = ("root_rank", "src", "dst")


class Kernels:
    """The kernels of this process; they stay for its life."""

    def __init__(self, tracer: Tracer, handles: Handles) -> None:
        """Install those of functional collectives; raise whatever torch raises if its operators are not as expected."""
        self._tracer, self._handles = tracer, handles
        # The registrations live as long as these objects do.
        self._libraries: list[Any] = []
        self._lock = threading.Lock()
        self._installed = False
        #: `inside`: is this thread in a call that has been recorded already?
        self.local = _Local()
        #: Address of a tensor's memory -> the event that fills it.
        self._filled: dict[int, int] = {}
        self._register("_c10d_functional", FUNCTIONAL, self._functional)
        self._register("_c10d_functional", {"wait_tensor": ("", "")}, self._wait)
        self._register("_dtensor", DTENSOR, self._functional)
        self._hook_users()

    def install(self) -> None:
        """From here on calls from C++ are seen."""
        with self._lock:
            if not self._installed:
                self._installed = True
                self._register("c10d", C10D, self._kernel)

    def _register(self, namespace: str, known: Any, make: Callable[[Any, str, str], Any]) -> None:
        library: Any = torch.library
        registration = library.Library(namespace, "IMPL")
        self._libraries.append(registration)
        for full in torch._C._dispatch_get_all_op_names():
            space, _, rest = full.partition("::")
            base, _, overload = rest.partition(".")
            if space == namespace and base in known:
                operator = getattr(getattr(getattr(torch.ops, namespace), base), overload or "default")
                registration.impl(operator, make(operator, *known[base]), "BackendSelect", with_keyset=True)

    def _hook_users(self) -> None:
        """Install the other kernels before the first call from C++."""
        import torch.distributed as dist
        from torch._C import _distributed_c10d as native

        def first(original: Any) -> Any:
            @functools.wraps(original)
            def around(*args: Any, **kwargs: Any) -> Any:
                self.install()
                return original(*args, **kwargs)

            return around

        native.Reducer.__init__ = first(native.Reducer.__init__)  # type: ignore[method-assign]
        for name in ("_broadcast_coalesced", "_verify_params_across_processes"):
            original = getattr(dist, name, None)
            if original is None:
                continue
            wrapped = first(original)
            # Whoever has imported the name already has it under the same name.
            for module in _torch_modules():
                if vars(module).get(name) is original:
                    setattr(module, name, wrapped)

    # ----------------------------------------------------------------------------------------------------- kernels

    def _kernel(self, operator: Any, op: str, tensors: str) -> Callable[..., Any]:
        arguments = _Arguments(operator._schema, op, tensors)
        below = torch._C._dispatch_keyset_full_after(torch._C.DispatchKey.BackendSelect)
        begin, end, issued, local = self._tracer.begin, self._tracer.end, self._handles.issued, self.local
        # `redispatch` is this in another function, which every call from Python would go through as well.
        redispatch = getattr(getattr(operator, "_handle", None), "redispatch_boxed", operator.redispatch)
        unbox = ProcessGroup.unbox

        def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            if local.inside:
                return redispatch(keyset & below, *args, **kwargs)
            number = 0
            is_async = False
            try:
                values = arguments.complete(args, kwargs)
                if arguments.is_imagined(values):
                    return redispatch(keyset & below, *args, **kwargs)
                is_async = arguments.is_async(values)
                group = unbox(values[arguments.group])
                number = begin(arguments.kind, group, arguments.key(values), arguments.peer(values), is_async)
            except Exception as error:
                warn_once(error)
            try:
                result = redispatch(keyset & below, *args, **kwargs)
            except BaseException:
                end(number, State.FAILED)
                raise
            try:
                handle = result[1] if type(result) is tuple else result
                issued(number, None if handle is None else Work.unbox(handle), is_async)
            except Exception as error:
                warn_once(error)
            return result

        return kernel

    def _functional(self, operator: Any, op: str, tensors: str) -> Callable[..., Any]:
        arguments = _Arguments(operator._schema, op, tensors)
        below = torch._C._dispatch_keyset_full_after(torch._C.DispatchKey.BackendSelect)
        tracer, local, filled = self._tracer, self.local, self._filled
        redispatch = operator.redispatch

        def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            number = 0
            try:
                values = arguments.complete(args, kwargs)
                if arguments.is_imagined(values):
                    return redispatch(keyset & below, *args, **kwargs)
                group = _resolved(values[arguments.group])
                number = tracer.begin(arguments.kind, group, arguments.key(values), arguments.peer(values), True)
            except Exception as error:
                warn_once(error)
            local.inside = True
            try:
                result = redispatch(keyset & below, *args, **kwargs)
            except BaseException:
                tracer.end(number, State.FAILED)
                raise
            finally:
                local.inside = False
            tracer.mark(number, State.ISSUED)
            for tensor in result if isinstance(result, (list, tuple)) else (result,):
                if len(filled) > _MOST:
                    # Nobody waits for them, then.
                    filled.clear()
                filled[tensor.untyped_storage()._cdata] = number
            return result

        return kernel

    def _wait(self, operator: Any, _: str, __: str) -> Callable[..., Any]:
        below = torch._C._dispatch_keyset_full_after(torch._C.DispatchKey.BackendSelect)
        tracer, filled = self._tracer, self._filled
        redispatch = operator.redispatch

        def kernel(keyset: Any, tensor: Any) -> Any:
            number = filled.pop(tensor.untyped_storage()._cdata, 0)
            if number:
                tracer.mark(number, State.WAITING)
            try:
                result = redispatch(keyset & below, tensor)
            except BaseException:
                tracer.end(number, State.FAILED)
                raise
            if number:
                tracer.end(number, State.DONE)
            return result

        return kernel


#: How many results of functional collectives are remembered that nobody has waited for.
_MOST: Final = 10_000


class _Local(threading.local):
    inside = False


class _Arguments:
    """Where an operator's arguments stand, and what of them is recorded. One for each operator, made once."""

    def __init__(self, schema: Any, op: str, tensors: str) -> None:
        self._op = op
        self._names = [argument.name for argument in schema.arguments]
        self._defaults = tuple(
            argument.default_value if argument.has_default_value() else None for argument in schema.arguments
        )
        self.kind = P2P if op in ("send", "recv") else COLLECTIVE
        named = "process_group" if "process_group" in self._names else "group_name"
        self.group = self._names.index(named)
        self._peer = next((self._names.index(name) for name in _PEERS if name in self._names), None)
        self._async = self._position("async_op")
        self._tensors = self._position(tensors)
        self._reduce_op = self._position("reduce_op")
        self._tag = self._position("tag")
        self._splits = [self._position(name) for name in ("output_split_sizes", "input_split_sizes")]

    def _position(self, name: str) -> int | None:
        return self._names.index(name) if name in self._names else None

    def complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """All arguments in order, defaults included."""
        values = args + self._defaults[len(args) :]
        if kwargs:
            return tuple(kwargs.get(name, value) for name, value in zip(self._names, values, strict=True))
        return values

    def is_async(self, values: tuple[Any, ...]) -> bool:
        """Whether the caller gets a handle. Point-to-point operators always give one."""
        return self._async is None or bool(values[self._async])

    def is_imagined(self, values: tuple[Any, ...]) -> bool:
        """Whether it is a call on tensors without data, by which torch.compile finds out shapes. Nothing communicates then."""
        given = None if self._tensors is None else values[self._tensors]
        while isinstance(given, (list, tuple)) and given:
            given = given[0]
        return isinstance(given, torch.Tensor) and given.is_meta

    def peer(self, values: tuple[Any, ...]) -> int:
        """The root or other side, as a rank of the group; -1 if there is none."""
        return -1 if self._peer is None else int(values[self._peer])

    def key(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """What tells calls apart, as `signatures.describe` reads it."""
        given = None if self._tensors is None else values[self._tensors]
        if given is None:
            tensors = None
        elif isinstance(given, torch.Tensor):
            tensors = ((given.shape, given.dtype),)
        else:
            tensors = nested(given) if given and not isinstance(given[0], torch.Tensor) else shapes(given)
        if self._splits[0] is not None and self._splits[1] is not None:
            return (self._op, tensors, None, tuple(values[self._splits[0]]), tuple(values[self._splits[1]]))
        if self.kind == P2P:
            return (self._op, tensors, 0 if self._tag is None else int(values[self._tag]))
        if self._reduce_op is None:
            return (self._op, tensors)
        reduce_op = values[self._reduce_op]
        # The dispatcher hands c10d's over as a box that can tell no more than its number.
        return (self._op, tensors, reduce_op if isinstance(reduce_op, str) else reduce_name(reduce_op.op()))


def _resolved(group: Any) -> Any:
    """The process group of a functional collective, which gets its name or the group itself."""
    if isinstance(group, ProcessGroup):
        return group
    if isinstance(group, str):
        name: Any = group
        return torch._C._distributed_c10d._resolve_process_group(name)
    return ProcessGroup.unbox(group)


def _torch_modules() -> list[Any]:
    return [module for name, module in list(sys.modules.items()) if name.startswith("torch.") and module is not None]


_warned: list[str] = []


def warn_once(error: Exception) -> None:
    """A call that could not be recorded is no reason to disturb the job, not even where warnings are errors."""
    if not _warned:
        _warned.append(str(error))
        say(f"collectivelint: a call could not be recorded: {type(error).__name__}: {error}\n")
