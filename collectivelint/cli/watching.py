"""`--watch`: lint again whenever a Python file or the configuration changes."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from ..settings.model import FILES
from ..source.discover import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def watch(targets: Sequence[Path], once: Callable[[], int]) -> None:
    """Call `once` now and after every change below the targets, until the user interrupts."""
    try:
        import watchfiles
    except ModuleNotFoundError:
        raise click.UsageError("--watch needs watchfiles: pip install 'collectivelint[watch]'") from None

    class OurFiles(watchfiles.DefaultFilter):
        """A watch filter: Python files and configuration files, except in folders that are not edited by hand."""

        def __call__(self, change: watchfiles.Change, path: str) -> bool:
            return path.lower().endswith((*SUFFIXES, *FILES)) and super().__call__(change, path)

    def show() -> None:
        click.clear()
        once()
        click.echo(f"[{time.strftime('%H:%M:%S')}] Watching for changes; Ctrl-C ends it.", err=True)

    changes = watchfiles.watch(
        *targets, watch_filter=OurFiles(), raise_interrupt=False, yield_on_timeout=True, rust_timeout=100
    )
    # watchfiles ends quietly when it is interrupted; so do we, in the middle of a run too.
    with suppress(KeyboardInterrupt):
        # It watches from the first turn on: before the first run, so that what changes meanwhile is not missed.
        next(changes, None)
        show()
        for some in changes:
            if some:
                show()
