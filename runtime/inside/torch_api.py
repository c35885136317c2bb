"""The only module that uses torch's private interfaces, each wrapped in a function that documents its result.

`probe` reports what the installed torch lacks. A function here raises AttributeError or whatever torch raises where its
interface is missing or has changed; the layer that needs it is then left out, and the others stay.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypeGuard

import torch
from torch.distributed import distributed_c10d as c10d

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What is not seen where something is missing.
Part: TypeAlias = Literal[
    "calls from C++",
    "reduce operations of calls from C++",
    "waits for functional collectives",
    "coalescing",
    "calls of ranks outside the group",
    "the end of groups",
    "other hosts",
]
_GROUP: Final = "torch.distributed.distributed_c10d:ProcessGroup."
_OPERATORS: Final = (
    "torch._C:_dispatch_get_all_op_names",
    "torch._C:_dispatch_keyset_full_after",
    "torch._C:DispatchKey.BackendSelect",
    "torch._ops:OpOverload.redispatch",
)
#: The dispatch key that every call passes: from Python or C++, in inference mode or not, in any thread.
ALWAYS: Final = "BackendSelect"
#: Where each part's things stand. Of alternatives, which "|" separates, one is enough.
_NEEDED: Final[dict[Part, tuple[str, ...]]] = {
    "calls from C++": (*_OPERATORS, f"{_GROUP}unbox", "torch.distributed.distributed_c10d:Work.unbox"),
    "waits for functional collectives": (*_OPERATORS, "torch._C:_distributed_c10d._resolve_process_group"),
    "coalescing": (f"{_GROUP}_start_coalescing", f"{_GROUP}_end_coalescing"),
    "calls of ranks outside the group": ("torch.distributed.distributed_c10d:_warn_not_in_group",),
    "the end of groups": (f"{_GROUP}shutdown|torch.distributed.distributed_c10d:_shutdown_backend",),
    "other hosts": ("torch.distributed.distributed_c10d:_get_default_store",),
}
_CONNECTING: Final = timedelta(seconds=10)
Around: TypeAlias = Callable[..., Any]


def probe() -> tuple[Part, ...]:
    """The parts that cannot be seen with the installed torch."""
    missing: list[Part] = [part for part, things in _NEEDED.items() if not all(map(_is_there, things))]
    if "calls from C++" not in missing and not _tells_reduce_operation():
        missing.append("reduce operations of calls from C++")
    return tuple(missing)


def _tells_reduce_operation() -> bool:
    classes: Any = torch.classes
    try:
        return reduce_number_in(classes.c10d.ReduceOp()) is not None
    except (AttributeError, RuntimeError):
        return False


def _is_there(alternatives: str) -> bool:
    for thing in alternatives.split("|"):
        module, _, path = thing.partition(":")
        found: Any = importlib.import_module(module)
        for name in path.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return True
    return False


class TorchSource:
    """torch.distributed as a library of collectives; see source.Source."""

    @property
    def folder(self) -> str:
        """Where torch is installed."""
        return os.path.dirname(torch.__file__)

    def ranks(self, group: Any) -> tuple[int, ...]:
        """The members as global ranks; raise ValueError for a group that torch.distributed does not know."""
        return tuple(map(int, c10d.get_process_group_ranks(group)))

    def description(self, group: Any) -> str:
        """What `group_desc` said."""
        return str(group.group_desc)

    def timeout(self, group: Any) -> float:
        """The shortest timeout of its backends in seconds; 0.0 where this torch does not tell."""
        try:
            backends = [group._get_backend(device) for device in group._device_types]
            return min(float(backend.options._timeout.total_seconds()) for backend in backends)
        except Exception:
            return 0.0

    def has_accelerator(self) -> bool:
        """Whether a device other than the processor is in use, CUDA or one that was registered and says so."""
        names = ("cuda", "xpu", torch._C._get_privateuse1_backend_name())
        with suppress(Exception):
            return any(module.is_initialized() for name in names if (module := getattr(torch, name, None)) is not None)
        return False

    def connect(self, prefix: str) -> Any | None:
        """A connection to the job's TCPStore; None if the job has another kind of store."""
        dist: Any = torch.distributed
        store = _job_store()
        if not isinstance(store, dist.TCPStore):
            return None
        own = dist.TCPStore(store.host, store.port, is_master=False, wait_for_workers=False, timeout=_CONNECTING)
        return dist.PrefixStore(prefix, own)


def meeting_place() -> str:
    """The address of the job's store, "" if unknown. Two concurrent jobs have different addresses."""
    dist: Any = torch.distributed
    if not _is_there(*_NEEDED["other hosts"]):
        return ""
    store = _job_store()
    if isinstance(store, dist.TCPStore):
        return f"{store.host}:{store.port}"
    return str(getattr(store, "path", type(store).__name__))


def _job_store() -> Any:
    dist: Any = torch.distributed
    store: Any = c10d._get_default_store()
    while isinstance(store, dist.PrefixStore):
        store = store.underlying_store
    return store


def operators(namespace: str) -> Iterator[tuple[str, str]]:
    """(name, name with the overload) of each operator of a namespace of the dispatcher; one name may have several."""
    for full in torch._C._dispatch_get_all_op_names():
        space, _, rest = full.partition("::")
        if space == namespace:
            yield rest.partition(".")[0], rest


def operator(namespace: str, name: str) -> Any:
    """The operator of a name with its overload."""
    base, _, overload = name.partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), base), overload or "default")


def arguments(operator: Any) -> list[tuple[str, Any]]:
    """(name, default or None) of each argument of an operator."""
    return [
        (item.name, item.default_value if item.has_default_value() else None) for item in operator._schema.arguments
    ]


def redispatch(operator: Any) -> Around:
    """A function `(keyset, *arguments)` that calls the next kernels. The operator's own method adds a Python call."""
    found: Around = getattr(getattr(operator, "_handle", None), "redispatch_boxed", operator.redispatch)
    return found


def register(library: Any, operator: Any, kernel: Around, key: str) -> None:
    """Have `kernel(keyset, *arguments)` called before the kernels of all devices, as long as the library lives."""
    library.impl(operator, kernel, key, with_keyset=True)


def below(key: str) -> Any:
    """A set of keys: `operator.redispatch(keyset & below(), ...)` runs the kernels that follow ours at a key."""
    return torch._C._dispatch_keyset_full_after(torch._C.DispatchKey.__members__[key])


def group_in(box: Any) -> Any:
    """The process group passed to an operator as a dispatcher object, as a name, or as the group itself."""
    if isinstance(box, c10d.ProcessGroup):
        return box
    if isinstance(box, str):
        name: Any = box
        return torch._C._distributed_c10d._resolve_process_group(name)
    return c10d.ProcessGroup.unbox(box)


def handle_in(box: Any) -> Any:
    """The work handle in an object of the dispatcher."""
    return c10d.Work.unbox(box)


def reduce_number_in(box: Any) -> int | None:
    """The number of the reduce operation in a dispatcher object; None if this torch does not expose it, as in 2.9."""
    tell = getattr(box, "op", None)
    return None if tell is None else int(tell())


#: Within it the program's own modes and classes of tensors do not see what is called.
unobserved: Final = torch._C.DisableTorchFunction


def uncompiled(function: Around) -> Around:
    """The function, which torch.compile leaves alone with what it calls, where this torch can be told so."""
    frames: Any = getattr(getattr(torch._C, "_dynamo", None), "eval_frame", None)
    with contextlib.suppress(AttributeError):
        frames.set_code_exec_strategy(function.__code__, frames._FrameExecStrategy(*[frames._FrameAction.SKIP] * 2))
    return function


def is_plain(value: Any) -> TypeGuard[torch.Tensor]:
    """Whether it is a tensor with memory of its own: not a subclass, not sparse, not inside a functorch transform."""
    is_own = type(value) in (torch.Tensor, torch.nn.Parameter) and value.layout is torch.strided
    return is_own and not torch._C._functorch.is_functorch_wrapped_tensor(value)


def memory(tensor: torch.Tensor) -> int:
    """A number that identifies the memory of a tensor while it lives."""
    return int(tensor.untyped_storage()._cdata)


def hook_users(around: Callable[[Around, int], Around]) -> None:
    """Wrap what calls from C++: the constructor of DDP's reducer, and two functions that work on a whole model.

    `around` gets the function and the position of the tensors it broadcasts (-1: none). Raises AttributeError if one of
    them is missing.
    """
    native: Any = torch._C._distributed_c10d
    native.Reducer.__init__ = around(native.Reducer.__init__, -1)
    for name, tensors in (("_broadcast_coalesced", 1), ("_verify_params_across_processes", -1)):
        original = getattr(torch.distributed, name)
        wrapped = around(original, tensors)
        # Whoever has imported the name already has it under the same name.
        for module in [module for name, module in list(sys.modules.items()) if name.startswith("torch.") and module]:
            if vars(module).get(name) is original:
                setattr(module, name, wrapped)


def hook_coalescing(begun: Callable[[], None], ended: Callable[[Any], None]) -> None:
    """Call `begun` when a coalesced batch of calls begins, and `ended` with its work handle, or with None."""
    group: Any = c10d.ProcessGroup
    start, end = group._start_coalescing, group._end_coalescing

    def _start_coalescing(group: Any, *args: Any) -> None:
        start(group, *args)
        begun()

    def _end_coalescing(group: Any, *args: Any) -> Any:
        work = None
        try:
            work = end(group, *args)
        finally:
            ended(work)
        return work

    group._start_coalescing, group._end_coalescing = _start_coalescing, _end_coalescing


def hook_end_of_groups(ends: Callable[[Any], None]) -> None:
    """Call `ends(group)` before a group is shut down or aborted, however destroy_process_group was imported."""
    kind: Any = c10d.ProcessGroup
    for owner, name in ((kind, "shutdown"), (kind, "abort"), (c10d, "_shutdown_backend")):  # The last is of 2.4.
        if hasattr(owner, name):
            setattr(owner, name, _behind(ends, getattr(owner, name)))


def _behind(first: Callable[[Any], None], original: Around) -> Around:
    def call(group: Any, *args: Any, **kwargs: Any) -> Any:
        first(group)
        return original(group, *args, **kwargs)

    return call


def hook_outsiders(called: Callable[[str], None]) -> None:
    """Call `called(name of the function)` when a rank calls on a group that it is not in."""
    warn = c10d._warn_not_in_group

    def outsider(op_name: str) -> None:
        called(op_name)
        warn(op_name)

    c10d._warn_not_in_group = outsider


def offsets_of(tensor: Any) -> tuple[int, ...]:
    """Where this rank's part of a DTensor begins in the global one."""
    utils = importlib.import_module("torch.distributed.tensor._utils")
    return tuple(utils.compute_local_shape_and_global_offset(tensor.shape, tensor.device_mesh, tensor.placements)[1])


def started_processes(context: Any) -> Iterator[tuple[int, Callable[[], int | None]]]:
    """PID and `exit_code()` (None while it runs) of each process that a context of torchrun's agent has started."""
    for handler in (getattr(context, "subprocess_handlers", None) or {}).values():
        yield handler.proc.pid, handler.proc.poll
    for process in getattr(getattr(context, "_pc", None), "processes", ()):
        yield process.pid, functools.partial(getattr, process, "exitcode")
