"""The tracer: records what every rank of a real job calls, on which group and in which order; also `GroupOps`."""

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
    """Trace the process groups that this process makes from here on into a new run below `out_dir`.

    Ranks started by the same process share the run and write a pair of files each; other files in `out_dir` are not
    touched. A process on each host compares the ranks while they run. `on_divergence`: "report" writes a divergence to
    stderr, "abort" also ends the ranks, None starts no such process. `check_data`: also compare which parameters the
    ranks pass to a call, and results that must be equal. Read the trace with `collectivelint report OUT_DIR`. Tracing
    goes on after the block, since groups made inside it may live longer.
    """
    from pathlib import Path

    from .activate import activate

    activate(Path(out_dir), on_divergence, check_data=check_data)
    yield
