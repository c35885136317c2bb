"""The layer that records calls from C++: dispatcher kernels that run before a device's kernels and redispatch to them.

For functional collectives and DTensor's own operator they are installed from the start: DTensor's redistribution and
torch.compile call those. For the operators of c10d they would add ten microseconds to each call from Python, which
python_calls.py records at a lower cost. So they are installed when something is used that calls from C++ (DDP's
reducer, `_broadcast_coalesced`, a method in a form that python_calls.py does not know), and run only in there and in
backward passes, see torch_regions.py. CUDA-graph replay, raw NCCL and symmetric memory are not recorded.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any, Final

import torch

from ..operations import COMPOSITE, OPERATIONS, SILENT
from ..say import say
from ..traces.model import State
from . import torch_api, torch_regions
from .operator_arguments import Arguments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from ..operations import Operation
    from .tracer import Tracer
    from .work_handles import Handles

_WAIT: Final = "wait_tensor"
#: Operator -> the operation, and the argument whose tensors are recorded.
_C10D: Final = {name: (operation, tensors) for operation in OPERATIONS for name, tensors in operation.c10d.items()}
_FUNCTIONAL: Final = {
    name: (operation, tensors) for operation in OPERATIONS for name, tensors in operation.functional.items()
}


def unknown() -> Iterator[str]:
    """Operators of the installed torch that are neither recorded nor known not to communicate."""
    for namespace, known in (("c10d", {*_C10D, *SILENT}), ("_c10d_functional", {*_FUNCTIONAL, *COMPOSITE, *SILENT})):
        yield from sorted({f"{namespace}::{name}" for name, _ in torch_api.operators(namespace) if name not in known})


class Kernels:
    """The kernels of this process; they stay for its life."""

    def __init__(self, tracer: Tracer, handles: Handles) -> None:
        """None is installed yet."""
        self._tracer, self._handles = tracer, handles
        # The registrations live as long as these objects do.
        self._libraries: list[Any] = []
        self._lock = threading.Lock()
        self._installed = False
        #: Within it the kernels of c10d are called.
        self.called: Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
        self._local = handles.local
        #: Memory of a tensor -> the event that fills it.
        self._filled: dict[int, int] = {}

    def install_functional(self) -> None:
        """Install the kernels for functional collectives. Raises whatever torch raises if its operators differ."""
        for namespace in ("_c10d_functional", "_dtensor"):
            self._register(namespace, _FUNCTIONAL, self._functional)
        self._register("_c10d_functional", dict.fromkeys(COMPOSITE), lambda operator, _: self._composite(operator))
        self._register("_c10d_functional", {_WAIT: None}, lambda operator, _: self._wait(operator))

    def install_all(self, *, always: bool = False) -> None:
        """Install the kernels of c10d, active `always` or only within `called`. Raises as above; never retried."""
        with self._lock:
            if self._installed:
                return
            self._installed = True
            key = torch_api.ALWAYS
            if not always and torch_regions.prepare(self._library("_")):
                key = torch_regions.KEY
                self.called = torch_regions.called
            self._register("c10d", _C10D, lambda operator, known: self._kernel(operator, known, key), key)

    def install(self) -> None:
        """Install the kernels of c10d in the middle of the job. Errors are reported, not raised."""
        try:
            self.install_all()
        except Exception as error:
            say(f"collectivelint: calls from C++ are not recorded: {type(error).__name__}: {error}\n")

    def around(self, original: Callable[..., Any], tensors: int = -1) -> Callable[..., Any]:
        """Wrap a function that calls from C++ to record its calls. `tensors`: position of the tensors it broadcasts."""

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.install()
            mine = self._local.mine
            mine.given = args[tensors] if 0 <= tensors < len(args) else ()
            try:
                with self.called():
                    return original(*args, **kwargs)
            finally:
                mine.given = None

        return call

    def _library(self, namespace: str) -> Any:
        library: Any = torch.library
        self._libraries.append(library.Library(namespace, "IMPL"))
        return self._libraries[-1]

    def _register(
        self, namespace: str, known: Mapping[str, Any], make: Callable[[Any, Any], Any], key: str = torch_api.ALWAYS
    ) -> None:
        registration = self._library(namespace)
        for name, full in torch_api.operators(namespace):
            if name in known:
                operator = torch_api.operator(namespace, full)
                torch_api.register(registration, operator, make(operator, known[name]), key)

    # ----------------------------------------------------------------------------------------------------- kernels

    def _kernel(self, operator: Any, known: tuple[Operation, str], key: str) -> Callable[..., Any]:
        arguments = Arguments(operator, *known)
        below = torch_api.below(key)
        begin, end, issued, local = self._tracer.begin, self._tracer.end, self._handles.issued, self._local
        redispatch, group_in, handle_in = torch_api.redispatch(operator), torch_api.group_in, torch_api.handle_in
        told = self._tracer.watch(known[0])

        def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            mine = local.mine
            if mine.inside:
                return redispatch(keyset & below, *args, **kwargs)
            number = 0
            is_async = False
            try:
                values = arguments.complete(args, kwargs)
                if arguments.is_imagined(values):
                    return redispatch(keyset & below, *args, **kwargs)
                is_async = arguments.is_async(values)
                group = group_in(values[arguments.group])
                number = begin(arguments.kind, group, arguments.key(values), arguments.peer(values), is_async)
                if mine.parts is not None:
                    mine.parts.append(number)
                if told is not None:
                    told(number, values[0], whole=mine.given or None, waits=mine.given is not None)
            except Exception as error:
                warn_once(error)
            try:
                result = redispatch(keyset & below, *args, **kwargs)
            except BaseException:
                end(number, State.FAILED)
                raise
            try:
                handle = result[1] if type(result) is tuple else result
                issued(number, None if handle is None else handle_in(handle), is_async, mine)
            except Exception as error:
                warn_once(error)
            return result

        return torch_api.uncompiled(kernel)

    def _functional(self, operator: Any, known: tuple[Operation, str]) -> Callable[..., Any]:
        arguments = Arguments(operator, *known)
        below = torch_api.below(torch_api.ALWAYS)
        tracer, local, fill = self._tracer, self._local, self._fill
        redispatch, told = operator.redispatch, tracer.watch(known[0])

        def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            number = 0
            values: tuple[Any, ...] = ()
            try:
                values = arguments.complete(args, kwargs)
                if arguments.is_imagined(values):
                    return redispatch(keyset & below, *args, **kwargs)
                group = torch_api.group_in(values[arguments.group])
                number = tracer.begin(arguments.kind, group, arguments.key(values), arguments.peer(values), True)
            except Exception as error:
                warn_once(error)
            mine = local.mine
            mine.inside = True
            try:
                result = redispatch(keyset & below, *args, **kwargs)
            except BaseException:
                tracer.end(number, State.FAILED)
                raise
            finally:
                mine.inside = False
            tracer.mark(number, State.ISSUED)
            if told is not None and values:
                told(number, values[0], result)
            for tensor in result if isinstance(result, (list, tuple)) else (result,):
                fill(tensor, number)
            return result

        return torch_api.uncompiled(kernel)

    def _composite(self, operator: Any) -> Callable[..., Any]:
        """A kernel for an operator that makes several calls. Each is recorded, and fills one tensor of the result."""
        below, redispatch, local = torch_api.below(torch_api.ALWAYS), operator.redispatch, self._local

        def kernel(keyset: Any, *args: Any, **kwargs: Any) -> Any:
            self.install()
            parts: list[int] = []
            mine = local.mine
            mine.parts = parts
            try:
                with self.called():
                    result = redispatch(keyset & below, *args, **kwargs)
            finally:
                mine.parts = None
            for tensor, number in zip(result, parts, strict=False):
                self._fill(tensor, number)
            return result

        return torch_api.uncompiled(kernel)

    def _fill(self, tensor: torch.Tensor, number: int) -> None:
        if len(self._filled) > _MOST:
            # Nobody waits for them, then.
            self._filled.clear()
        self._filled[torch_api.memory(tensor)] = number

    def _wait(self, operator: Any) -> Callable[..., Any]:
        below = torch_api.below(torch_api.ALWAYS)
        tracer, filled = self._tracer, self._filled
        redispatch = operator.redispatch

        def kernel(keyset: Any, tensor: Any) -> Any:
            number = filled.pop(torch_api.memory(tensor), 0)
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

        return torch_api.uncompiled(kernel)


#: How many results of functional collectives are remembered that nobody has waited for.
_MOST: Final = 10_000


_warned: list[str] = []


def warn_once(error: Exception) -> None:
    """Report the first call that could not be recorded. No Python warning, which could be turned into an error."""
    if not _warned:
        _warned.append(str(error))
        say(f"collectivelint: a call could not be recorded: {type(error).__name__}: {error}\n")
