"""Threads: their native ids, and the stack that started their work (`Thread.start`, `ThreadPoolExecutor.submit`)."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
import weakref
from concurrent.futures import thread as pool
from typing import TYPE_CHECKING, Any

from .sites import Stack

if TYPE_CHECKING:
    from types import FrameType

#: The starter of each thread, for as long as the thread is known to Python.
_starters: weakref.WeakKeyDictionary[threading.Thread, Stack] = weakref.WeakKeyDictionary()


class _Local(threading.local):
    #: The stack that submitted what this thread of a pool is running.
    submitter: Stack | None = None


_local = _Local()


def starter() -> Stack | None:
    """The stack that submitted the current work item or else started the current thread; None if unknown."""
    return _local.submitter or _starters.get(threading.current_thread())


def number() -> int:
    """The native id of the current thread; 0 for a C++ thread, where autograd works for another thread."""
    # threading has no public name for the objects that stand for threads of C++.
    is_ours = type(threading.current_thread()).__name__ != "_DummyThread"
    return threading.get_native_id() if is_ours else 0


def _starting(frame: FrameType | None) -> Stack:
    """The stack of a frame, followed by the stack that started its thread if there is one."""
    stack, before = Stack.of(frame), starter()
    return stack if before is None else stack.started_by(before)


@functools.cache
def install() -> None:
    """Record from here on the stack that starts each thread. The behaviour of threads does not change."""
    start: Any = threading.Thread.start

    @functools.wraps(start)
    def noting_start(self: threading.Thread) -> None:
        # Whatever goes wrong with that is not the job's trouble.
        with contextlib.suppress(Exception):
            _starters[self] = _starting(sys._getframe(1))
        start(self)

    threading.Thread.start = noting_start  # type: ignore[method-assign]
    # No public name, but the same one in every version: what `submit` puts into the queue of a pool.
    item = getattr(pool, "_WorkItem", None)
    if item is not None:
        pool._WorkItem = _noting(item)  # type: ignore[misc]


def _noting(item: Any) -> Any:
    class Item(item):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # Behind `submit`.
            self._submitter = _starting(sys._getframe(1).f_back)

        def run(self, *args: Any, **kwargs: Any) -> None:
            before, _local.submitter = _local.submitter, self._submitter
            try:
                super().run(*args, **kwargs)
            finally:
                _local.submitter = before

    Item.__name__, Item.__qualname__, Item.__module__ = item.__name__, item.__qualname__, item.__module__
    return Item
