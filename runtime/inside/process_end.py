"""Records how a process ends if the process can do so itself: with an uncaught exception, or without one."""

from __future__ import annotations

import atexit
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


def when_process_ends(fail: Callable[[BaseException], None], finish: Callable[[], None]) -> None:
    """Call `fail` with an uncaught exception at once, and `finish` at exit. Killed processes call neither."""
    previous = sys.excepthook

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        fail(error)
        previous(kind, error, trace)

    sys.excepthook = hook
    atexit.register(finish)
    process = sys.modules.get("multiprocessing.process")
    if process is not None and process.parent_process() is not None:
        # Children of multiprocessing run neither: their exceptions are caught, and they leave without atexit.
        from multiprocessing.util import Finalize

        Finalize(None, _finish_child, args=(fail, finish), exitpriority=0)


def _finish_child(fail: Callable[[BaseException], None], finish: Callable[[], None]) -> None:
    error = sys.exc_info()[1]
    if isinstance(error, SystemExit):
        # torch.multiprocessing has passed the exception on, and leaves with a code.
        error = error.__context__
    if error is not None:
        fail(error)
    finish()
