"""Pauses the cyclic garbage collector while millions of objects with hardly any reference cycles are created."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Objects that a run has to leave behind for it to pay that the collector does not look at them.
_MANY: Final = 500_000


def collect() -> None:
    """Collect the reference cycles that a large run has left behind."""
    if gc.get_freeze_count() > _MANY:
        gc.unfreeze()
        gc.collect()


@contextmanager
def paused(*, holds: bool = False) -> Iterator[None]:
    """Disable the collector inside the block; objects of a large run are frozen, since the process may end soon.

    `holds`: objects that earlier runs left behind are still held, and likely needed again.
    """
    if not gc.isenabled():
        yield
        return
    if not holds:
        # What a run before this one has left behind, in a process that goes on: a server, or one that watches.
        collect()
    gc.disable()
    try:
        yield
    finally:
        if gc.get_count()[0] > _MANY:
            # The first thing that the collector does otherwise is to look at all of them.
            gc.freeze()
        gc.enable()
