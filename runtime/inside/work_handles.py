"""Work handles: a call has ended when somebody has waited for its handle, or for the tensor it returned."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any, Final

from torch._C._distributed_c10d import ProcessGroup, Work

from ..traces.model import State

if TYPE_CHECKING:
    from .tracer import Tracer


#: Bound here: an enumeration looks its members up each time.
_DONE, _FAILED, _ISSUED, _WAITING = State.DONE, State.FAILED, State.ISSUED, State.WAITING
_NONE: Final = (None, 0)


class Handles:
    """Which events wait for which handle."""

    def __init__(self, tracer: Tracer) -> None:
        """Wrap `Work.wait`."""
        self._tracer = tracer
        #: id of a handle -> the handle and its events. Handles come and go, and C++ makes new ones at old addresses.
        self._works: dict[int, tuple[weakref.ref[Any], tuple[int, ...]]] = {}
        self._local = _Local()
        self._wrap_wait()

    def issued(self, number: int, work: Any, is_async: bool) -> None:
        """The operation has returned, with or without a handle."""
        if not number:
            return
        local = self._local
        if local.together is not None:
            local.together.append(number)
        if work is None:
            if local.together is None:
                self._tracer.end(number, _DONE)
            return
        # Through the dispatcher Python gets its own handle for the same work after we return; the two are one object
        # only while ours lives. It lives until the next call of this thread, or until somebody waits.
        interrupted, other = local.latest
        if other:
            # A signal's handler calls before torch's own function waits.
            self._keep(interrupted, (other,))
        local.latest = (work, 0 if is_async else number)
        if is_async:
            self._tracer.mark(number, _ISSUED)
            self._keep(work, (number,))

    def _keep(self, work: Any, numbers: tuple[int, ...]) -> None:
        works, key = self._works, id(work)
        works[key] = (weakref.ref(work, lambda _: works.pop(key, None)), numbers)

    def _wrap_wait(self) -> None:
        original = Work.wait
        works, local, tracer = self._works, self._local, self._tracer

        def wait(work: Any, *args: Any, **kwargs: Any) -> Any:
            latest, number = local.latest
            if latest is work:
                local.latest = _NONE
            if number and latest is work:
                # torch's own function, which waits before it returns: the call is still ENTERED.
                numbers: tuple[int, ...] = (number,)
            else:
                known = works.get(id(work))
                numbers = known[1] if known is not None and known[0]() is work else ()
                for number in numbers:
                    tracer.mark(number, _WAITING)
            try:
                result = original(work, *args, **kwargs)
            except BaseException:
                for number in numbers:
                    tracer.end(number, _FAILED)
                raise
            for number in numbers:
                tracer.end(number, _DONE)
            return result

        Work.wait = wait  # type: ignore[method-assign,assignment]

    def wrap_coalescing(self) -> None:
        """Calls between `_start_coalescing` and `_end_coalescing` share the handle that the latter returns."""
        start, end = ProcessGroup._start_coalescing, ProcessGroup._end_coalescing
        local = self._local

        def _start_coalescing(group: Any, *args: Any) -> None:
            start(group, *args)
            local.together = []

        def _end_coalescing(group: Any, *args: Any) -> Any:
            numbers = tuple(local.together or ())
            local.together = None
            work = end(group, *args)
            if work is not None and numbers:
                self._keep(work, numbers)
            return work

        ProcessGroup._start_coalescing = _start_coalescing  # type: ignore[method-assign,assignment]
        ProcessGroup._end_coalescing = _end_coalescing  # type: ignore[method-assign,assignment]


class _Local(threading.local):
    """Of each thread: the handle it got last with its event (0 if the caller has the handle), and the events whose handle is still to come."""

    latest: tuple[Any, int] = _NONE
    together: list[int] | None = None
