"""Work handles: a call is complete when its handle, or the tensor it returned, has been waited for."""

from __future__ import annotations

import functools
import weakref
from typing import TYPE_CHECKING, Any

from torch.distributed import Work

from ..traces.model import State
from .this_thread import NO_HANDLE, Local

if TYPE_CHECKING:
    from .this_thread import Thread
    from .tracer import Told, Tracer


#: Bound here: an enumeration looks its members up each time.
_DONE, _FAILED, _ISSUED, _WAITING = State.DONE, State.FAILED, State.ISSUED, State.WAITING


class Handles:
    """Maps each work handle to the events that complete when it is waited for."""

    def __init__(self, tracer: Tracer) -> None:
        """Wrap `Work.wait`. Other classes of handles are wrapped when the first of them is issued."""
        self._tracer = tracer
        #: id of a handle -> the handle and its events. Handles come and go, and C++ makes new ones at old addresses.
        self._works: dict[int, tuple[weakref.ref[Any], tuple[int, ...]]] = {}
        self.local = Local()
        #: The classes of handles whose `wait` is ours. Those of backends may have one of their own.
        self._classes: set[type] = {Work}
        self._wrap_wait(Work)

    def issued(self, number: int, work: Any, is_async: bool, mine: Thread) -> None:
        """Record that the operation has returned in a thread, with or without a work handle."""
        if not number:
            return
        together = mine.together
        if together is not None:
            together.append(number)
        if work is None:
            if together is None:
                self._tracer.end(number, _DONE)
            return
        if type(work) not in self._classes:
            self._classes.add(type(work))
            self._wrap_wait(type(work))
        # Through the dispatcher Python gets its own handle for the same work after we return; the two are one object
        # only while ours lives. It lives until the next call of this thread, or until somebody waits.
        interrupted, other = mine.latest
        if other:
            # A signal's handler calls before torch's own function waits.
            self._keep(interrupted, (other,))
        if is_async:
            mine.latest = (work, 0)
            self._tracer.mark(number, _ISSUED)
            self._keep(work, (number,))
        else:
            mine.latest = (work, number)

    def _keep(self, work: Any, numbers: tuple[int, ...]) -> None:
        works, key = self._works, id(work)
        works[key] = (weakref.ref(work, lambda _: works.pop(key, None)), numbers)

    def _wrap_wait(self, handle: Any) -> None:
        """Note when the `wait` of a class of handles has been called and has returned, unless it is inherited."""
        original = vars(handle).get("wait")
        if original is None:
            return
        works, local, mark, end = self._works, self.local, self._tracer.mark, self._tracer.end

        def wait(work: Any, *args: Any, **kwargs: Any) -> Any:
            mine = local.mine
            latest, number = mine.latest
            if latest is work:
                mine.latest = NO_HANDLE
                if number:
                    # It is torch's own function, which waits before it returns: the call is still ENTERED.
                    try:
                        result = original(work, *args, **kwargs)
                    except BaseException:
                        end(number, _FAILED)
                        raise
                    end(number, _DONE)
                    return result
            known = works.get(id(work))
            numbers = known[1] if known is not None and known[0]() is work else ()
            for number in numbers:
                mark(number, _WAITING)
            try:
                result = original(work, *args, **kwargs)
            except BaseException:
                for number in numbers:
                    end(number, _FAILED)
                raise
            for number in numbers:
                end(number, _DONE)
            return result

        handle.wait = wait
        polled = vars(handle).get("is_completed")
        if polled is not None and self._tracer.completed is not None:
            handle.is_completed = self._polled(polled, self._tracer.completed)
        for name in ("get_future", "get_future_result"):
            taken = vars(handle).get(name)
            if taken is not None and self._tracer.completed is not None:
                setattr(handle, name, self._given_away(taken, self._tracer.completed))

    def _polled(self, original: Any, completed: Told) -> Any:
        """Wrap `is_completed`: once it returns True, the program may use the result without a wait."""
        works = self._works

        def is_completed(work: Any) -> bool:
            found = bool(original(work))
            known = works.get(id(work)) if found else None
            if known is not None and known[0]() is work:
                for number in known[1]:
                    completed(number)
            return found

        return is_completed

    def _given_away(self, original: Any, completed: Told) -> Any:
        """Wrap a method that returns a future, which is another way to wait: its completion is not seen."""
        works = self._works

        @functools.wraps(original)
        def future(work: Any, *args: Any, **kwargs: Any) -> Any:
            known = works.get(id(work))
            if known is not None and known[0]() is work:
                for number in known[1]:
                    completed(number, is_there=False)
            return original(work, *args, **kwargs)

        return future

    def coalescing_begun(self) -> None:
        """The calls from here on share one handle, which is returned at the end of the batch."""
        self.local.mine.together = []

    def coalescing_ended(self, work: Any) -> None:
        """Assign the batch's handle to its calls; None if it has none."""
        numbers = tuple(self.local.mine.together or ())
        self.local.mine.together = None
        if work is not None and numbers:
            self._keep(work, numbers)
