"""A progress bar for runs that take a while, on a terminal only."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.progress import Progress

#: Seconds. A run that is over sooner shows nothing.
_PATIENCE: Final = 0.5


@contextmanager
def bar(*, hidden: bool) -> Iterator[Callable[[int, int], None]]:
    """A progress callback (finished steps, total) that draws a bar on stderr until all steps are finished.

    It draws nothing if stderr is not a terminal, or if `hidden` is set.
    """
    since = time.monotonic()
    shown: list[Progress] = []
    quiet = hidden or not sys.stderr.isatty()

    def tell(done: int, total: int) -> None:
        if quiet or (not shown and time.monotonic() - since < _PATIENCE):
            return
        if not shown:
            # Imported here: it costs as much as a small run.
            from rich.console import Console
            from rich.progress import Progress

            shown.append(Progress(console=Console(stderr=True), transient=True))
            shown[0].add_task("Linting", total=total)
            shown[0].start()
        shown[0].update(shown[0].task_ids[0], completed=done, total=total)

    try:
        yield tell
    finally:
        for progress in shown:
            progress.stop()
