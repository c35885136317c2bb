"""Kernels that run only where a thread enables them, by private interfaces of torch (as torch_api.py).

A kernel in Python costs a call ten microseconds, even if another layer has already recorded the call. C++ makes calls
only from a few functions: the backward pass with DDP's reducer, and those that broadcast a whole model. A thread
enables the kernels while it is in one of those. They are registered at a dispatch key that no tensor has and nothing
else uses.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Around: TypeAlias = "Callable[..., Any]"

#: That of mixed precision on a device which PyTorch no longer has a backend for.
KEY: Final = "AutocastIPU"


def prepare(library: Any) -> bool:
    """Enable the key's kernels in backward passes and DDP's reducer, and let all other operators fall through it.

    `library` is a torch.library.Library of the namespace `_` that must live as long as the kernels. Returns False if
    this torch does not support it.
    """
    try:
        key = torch._C.DispatchKey.__members__[KEY]
        _set(key, *_state(key))
        library.fallback(torch.library.fallthrough_kernel, KEY)
        # Not at the top: this is imported while torch still is.
        ops: Any = importlib.import_module("torch._ops")
        # Operators of higher order have a table of their own, where a key that they do not know is an error.
        ops._HIGHER_ORDER_OP_DEFAULT_FALLTHROUGH_DISPATCH_KEYS.append(key)
        for operator in list(ops._higher_order_ops.values()):
            operator.fallthrough(key)
        _hook_backward()
        _hook_reducer()
    except Exception:
        return False
    return True


@contextlib.contextmanager
def called() -> Iterator[None]:
    """Context manager: this thread, and the backward passes it starts in other threads, run the kernels."""
    key = torch._C.DispatchKey.__members__[KEY]
    before = _state(key)
    _set(key, True, False)
    try:
        yield
    finally:
        _set(key, *before)


def _state(key: Any) -> tuple[bool, bool]:
    return torch._C._dispatch_tls_is_dispatch_key_included(key), torch._C._dispatch_tls_is_dispatch_key_excluded(key)


def _set(key: Any, is_included: bool, is_excluded: bool) -> None:
    torch._C._dispatch_tls_set_dispatch_key_included(key, is_included)
    torch._C._dispatch_tls_set_dispatch_key_excluded(key, is_excluded)


def _hook_backward() -> None:
    # Not torch.autograd.backward: libraries use the engine without it.
    engine: Any = torch.autograd.Variable._execution_engine
    kind = type(engine)
    own = type(kind.__name__, (kind,), {"run_backward": _calling(kind.run_backward)})
    torch.autograd.Variable._execution_engine = own()
    with contextlib.suppress(ImportError, AttributeError):
        remote: Any = importlib.import_module("torch.distributed.autograd")
        remote.backward = _calling(remote.backward)


def behind_backward(done: Callable[[], None]) -> None:
    """Call `done` after this thread's backward pass, when DDP's reducer has waited; does nothing outside of one."""
    engine: Any = torch.autograd.Variable._execution_engine
    # The reducer has itself called when the pass ends, and what is asked for then comes behind that.
    with contextlib.suppress(RuntimeError):
        engine.queue_callback(lambda: engine.queue_callback(done))


def _hook_reducer() -> None:
    # There it tells the other ranks in which order gradients come.
    reducer: Any = torch._C._distributed_c10d.Reducer
    reducer._rebuild_buckets = _calling(reducer._rebuild_buckets)


def _calling(original: Around) -> Around:
    """Wrap a function so that the kernels run in it."""

    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        with called():
            return original(*args, **kwargs)

    return call
