"""Work handles: a call has ended when somebody has waited for its handle, or for the tensor it returned."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING, Any

from torch.distributed import Work

from ..traces.model import State

if TYPE_CHECKING:
    from .tracer import Tracer


#: Bound here: an enumeration looks its members up each time.
_DONE, _FAILED, _ISSUED, _WAITING = State.DONE, State.FAILED, State.ISSUED, State.WAITING


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
        local.latest = work
        local.number = 0 if is_async else number
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
            if local.number and local.latest is work:
                # torch's own function, which waits before it returns: the call is still ENTERED.
                numbers: tuple[int, ...] = (local.number,)
                local.latest, local.number = None, 0
            else:
                if local.latest is work:
                    local.latest = None
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

    def coalescing_begun(self) -> None:
        """Calls from here on share the handle that is still to come."""
        self._local.together = []

    def coalescing_ended(self, work: Any) -> None:
        """That is the handle; None if there is none."""
        numbers = tuple(self._local.together or ())
        self._local.together = None
        if work is not None and numbers:
            self._keep(work, numbers)


class _Local(threading.local):
    """Of each thread: the handle it got last with its event, and the events whose handle is still to come."""

    latest: Any = None
    number: int = 0
    together: list[int] | None = None
