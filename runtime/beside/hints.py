"""Hints about long waits: which rank has waited for how long, and where the ranks it waits for are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ..traces.processes import state_of
from ..verdict import explain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..traces.model import Event, Trace
    from ..traces.reader import Reader

#: How long (in seconds) a process may take to say where it is.
STACK_REPLY_S: Final = 1.0


class Hints:
    """Reports each long wait once. `look` is called every `POLL` seconds for each job."""

    def __init__(self, after: float, say: Callable[[str], None]) -> None:
        """`after`: seconds that a rank waits before `say` is called with the stacks of the ranks it waits for."""
        self._after, self._say = after, say
        #: Waits, by the ring of a rank of their job, the rank and the number of its call.
        self._asked: set[tuple[Path, int, int]] = set()
        self._hinted: set[tuple[Path, int, int]] = set()

    def look(self, readers: list[Reader], heads: Trace, waits: list[tuple[Event, tuple[int, ...]]]) -> None:
        """Report long waits of a job: the ranks they are for, and where these are. `waits`: see wait_graph.waiting."""
        clock, job = time.time(), readers[0].path
        long = [
            (event, absent)
            for event, absent in waits
            if absent and clock - event.start >= self._after and (job, event.rank, event.number) not in self._hinted
        ]
        fresh = [(event, absent) for event, absent in long if (job, event.rank, event.number) not in self._asked]
        if fresh:
            # Said at the next look, when the answers are there.
            self._asked |= {(job, event.rank, event.number) for event, _ in fresh}
            _ask(readers, {rank for _, absent in fresh for rank in absent})
            return
        ready = [item for item in long if clock - item[0].start >= self._after + STACK_REPLY_S]
        if not ready:
            return
        self._hinted |= {(job, event.rank, event.number) for event, _ in ready}
        here = {reader.number: reader.pid for reader in readers}
        asked = min(event.start for event, _ in ready) + self._after
        living = [rank for rank in map(heads.ranks.__getitem__, here) if rank.alive and rank.end == "running"]
        silent = {rank.rank for rank in living if rank.stack_time < asked}
        stopped = {rank for rank, pid in here.items() if state_of(pid) == "T"}
        self._say(explain.straggler(heads, ready, stopped, silent))


def _ask(readers: list[Reader], ranks: set[int]) -> None:
    for reader in readers:
        if reader.number in ranks:
            try:
                reader.ask()
            except OSError:
                continue
