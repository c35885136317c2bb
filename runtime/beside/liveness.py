"""Which processes and threads of a trace are alive, as seen from this host."""

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
    """The trace with live ranks and threads marked; those of other hosts count as alive."""
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
    """Whether the process of a trace is alive; one on another host counts as alive until it has recorded its end."""
    return reader.is_running if reader.host != os.uname().nodename else lives_here(reader)


def lives_here(reader: Reader) -> bool:
    """Whether the process is alive on this host, and not another one with the same pid.

    The start time also differs if the clock was set since; then having the ring mapped identifies the process.
    """
    if not reader.is_running or reader.host != os.uname().nodename or not exists(reader.pid):
        return False
    try:
        return began_at(reader.pid, reader.begun) or has_mapped(reader.pid, reader.path)
    except OSError:
        return not Path("/proc/self/maps").exists()


def _runs(pid: int, thread: int) -> bool:
    """Whether a thread is alive; true if the system does not say."""
    return not Path("/proc/self/task").is_dir() or Path(f"/proc/{pid}/task/{thread}").exists()
