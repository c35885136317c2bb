"""Which processes and threads of a trace are still there, as this host sees it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..traces.model import Trace
from ..traces.processes import began_at, exists, has_mapped

if TYPE_CHECKING:
    from ..traces.reader import Reader


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


def lives(reader: Reader) -> bool:
    """Whether the process of a trace is there and has not left; one on another host is believed to be."""
    return reader.is_running if reader.host != os.uname().nodename else lives_here(reader)


def lives_here(reader: Reader) -> bool:
    """The same, as far as this host sees it. The number of a process may be another's by now.

    The start time also differs when the clock was set since: then what is mapped counts.
    """
    if not reader.is_running or reader.host != os.uname().nodename or not exists(reader.pid):
        return False
    try:
        return began_at(reader.pid, reader.begun) or has_mapped(reader.pid, reader.path)
    except OSError:
        return not Path("/proc/self/maps").exists()


def _runs(pid: int, thread: int) -> bool:
    """Whether the thread is still there. Where that cannot be told, it is believed to be."""
    return not Path("/proc/self/task").is_dir() or Path(f"/proc/{pid}/task/{thread}").exists()
