"""Which processes and threads of a trace are still there, as this host sees it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from ..traces.model import Trace
from ..traces.processes import exists


def alive(trace: Trace, *, always: bool = False) -> Trace:
    """The trace with the ranks marked whose processes live (on other hosts they are believed to), threads as well."""
    host = os.uname().nodename
    return Trace(
        {
            number: replace(
                rank,
                alive=always or rank.host != host or exists(rank.pid),
                callers={
                    group: frozenset(thread for thread in threads if rank.host != host or _runs(rank.pid, thread))
                    for group, threads in rank.callers.items()
                },
                others=frozenset(thread for thread in rank.others if rank.host != host or _runs(rank.pid, thread)),
            )
            for number, rank in trace.ranks.items()
        }
    )


def _runs(pid: int, thread: int) -> bool:
    """Whether the thread is still there. Where that cannot be told, it is believed to be."""
    return not Path("/proc/self/task").is_dir() or Path(f"/proc/{pid}/task/{thread}").exists()
