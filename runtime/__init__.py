"""The tracer: what every rank of a real job called, on which group, in which order; and `GroupOps`."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from .group_ops import GroupOps

__all__ = ["GroupOps", "trace"]


def __getattr__(name: str) -> object:
    # The tracer is imported before torch is, and must not bring it along.
    if name == "GroupOps":
        from .group_ops import GroupOps

        return GroupOps
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


@contextmanager
def trace(
    out_dir: str | os.PathLike[str],
    on_divergence: Literal["report", "abort"] | None = "report",
    *,
    check_data: bool = False,
) -> Iterator[None]:
    """Trace the process groups that this process makes from here on into a run of its own below `out_dir`.

    Ranks that were started by the same process share the run, a pair of files for each; nothing else in `out_dir` is touched.
    A process on each host compares the ranks meanwhile, and reports on stderr when they diverge, or ends them; with None
    there is none. `check_data`: compare also which parameters the ranks pass to a call, and results that have to be equal. Read the trace with `collectivelint report OUT_DIR`. Tracing goes on after the block: groups made inside
    may live longer.
    """
    from pathlib import Path

    from .activate import activate

    activate(Path(out_dir), on_divergence, check_data=check_data)
    yield
