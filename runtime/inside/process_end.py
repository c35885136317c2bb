"""How a process ends, as far as it can say so itself: with an exception that nothing has caught, or without one."""

from __future__ import annotations

import atexit
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


def when_process_ends(finish: Callable[[str], None]) -> None:
    """Have `finish` called with the text of that exception, or with "". Killed processes call nothing."""
    _End(finish).watch()


class _End:
    def __init__(self, finish: Callable[[str], None]) -> None:
        self._finish_with = finish
        self._raised = ""

    def watch(self) -> None:
        previous = sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            self._raised = f"{kind.__name__}: {error}"
            previous(kind, error, trace)

        sys.excepthook = hook
        atexit.register(self._finish)
        process = sys.modules.get("multiprocessing.process")
        if process is not None and process.parent_process() is not None:
            # Children of multiprocessing run neither: their exceptions are caught, and they leave without atexit.
            from multiprocessing.util import Finalize

            Finalize(None, self._finish_child, exitpriority=0)

    def _finish(self) -> None:
        self._finish_with(self._raised)

    def _finish_child(self) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, SystemExit):
            # torch.multiprocessing has passed the exception on, and leaves with a code.
            error = error.__context__
        if error is not None:
            self._raised = f"{type(error).__name__}: {error}"
        self._finish()
