"""Several processes for one run: each inherits what has been read so far, and sends back what it found."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
#: Fewer files than this for each process do not pay for starting it.
_FEWEST: Final = 60
#: What the processes inherit: a function and its arguments need not be sent, and could not be.
_inherited: dict[str, Any] = {}


def usable(wanted: int, files: int) -> int:
    """How many processes to use; 0 wanted means as many as there are CPUs."""
    if sys.platform != "linux":
        # Elsewhere a fork of a process with threads is not safe, and starting anew means reading everything again.
        return 1
    available = wanted or len(os.sched_getaffinity(0))
    return max(1, min(available, files // _FEWEST))


def spread(work: Callable[[list[str]], list[T]], paths: list[str], jobs: int, *, parts: int = 8) -> list[T]:
    """Do `work` on `paths`, in `jobs` processes and `parts` pieces for each; neighbours stay together."""
    size = max(1, -(-len(paths) // (jobs * parts)))
    pieces = [paths[start : start + size] for start in range(0, len(paths), size)]
    if len(pieces) < 2:
        return work(paths)
    import multiprocessing

    _inherited["work"] = work
    # What exists now is shared with the processes for as long as nobody writes to it, the garbage collector included.
    gc.freeze()
    try:
        with multiprocessing.get_context("fork").Pool(jobs) as pool:
            return [item for some in pool.imap(_one, pieces, chunksize=1) for item in some]
    finally:
        gc.unfreeze()
        _inherited.clear()


def _one(paths: list[str]) -> list[Any]:
    gc.disable()
    return list(_inherited["work"](paths))
