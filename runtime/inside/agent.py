"""In torchrun's process: how the ranks that it started have ended, and which of them it ended itself.

Only their parent sees the exit code of a process. What it saw is written beside the ring of the rank (ring.py), for the process that
reads the trace; the agent itself is not disturbed.
"""

from __future__ import annotations

import functools
import json
import os
import time
from typing import TYPE_CHECKING, Any

from collectivelint import atomic

from ..traces import folders
from ..traces.reader import exit_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def hook_close(folder: Path, module: Any) -> None:
    """Wrap the method that an agent calls when all of its ranks have ended, or one of them has failed.

    `folder`: of the run, or of many runs; `module`: torch.distributed.elastic.multiprocessing.api.
    """
    original = module.PContext.close

    @functools.wraps(original)
    def close(context: Any, *args: Any, **kwargs: Any) -> Any:
        before = _codes(context)
        _write(folder, {pid: code for pid, code in before.items() if code is not None}, "")
        try:
            return original(context, *args, **kwargs)
        finally:
            named = getattr(args[0] if args else kwargs.get("death_sig"), "name", "SIGTERM")
            after = _codes(context)
            _write(folder, {pid: after.get(pid) for pid, code in before.items() if code is None}, named)

    module.PContext.close = close


def _codes(context: Any) -> dict[int, int | None]:
    """The exit code of each process, None while it runs; nothing where torch keeps its processes in another form."""
    try:
        from .torch_api import started_processes

        return {pid: code() for pid, code in started_processes(context)}
    except Exception:
        # Whatever it is, the agent has to end its ranks.
        return {}


def _write(folder: Path, codes: dict[int, int | None], signal: str) -> None:
    """Write the exit file of each of these processes that has a trace; `signal`: what they were sent."""
    for pid, code in codes.items():
        for ring in _rings(folder, pid):
            data = json.dumps({"code": code, "signal": signal, "time": time.time()})
            try:
                if not exit_file(ring).exists():
                    atomic.write(exit_file(ring), data, follow=False, durable=False)
            except OSError:
                # A full disk: how the process ended remains unknown.
                return


def _rings(folder: Path, pid: int) -> Iterator[Path]:
    """The traces of a process that this one has started, in the run of the launcher or in the one named after this process."""
    pattern = f"rank*-{os.uname().nodename.replace(os.sep, '-')}-{pid}"
    for run in (folder,) if folders.is_run(folder) else folder.glob(f"run-*-{os.getpid()}"):
        yield from run.glob(f"{pattern}.ring")
        yield from run.glob(f"{pattern}-*.ring")
