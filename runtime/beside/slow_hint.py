"""A hint while the job runs: a rank that comes last again and again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ..traces.model import Trace
from ..verdict.slow_ranks import slow_ranks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..traces.model import GroupKey
    from ..traces.reader import Reader

#: How many of each rank's last calls are looked at.
_WINDOW: Final = 1024


class SlowHint:
    """Reports once per rank and group that the rank is slow there; `look` may be called at any rate."""

    def __init__(self, every: float, say: Callable[[str], None]) -> None:
        """`every`: seconds between two looks at the events of the ranks."""
        self._every, self._say = every, say
        self._next: dict[object, float] = {}
        self._said: set[tuple[object, int, GroupKey]] = set()

    def look(self, readers: Iterable[Reader]) -> None:
        """Check the ranks of one job on this host, unless the last check was less than `every` seconds ago."""
        ranks = list(readers)
        job, now = ranks[0].job, time.monotonic()
        due = self._next.setdefault(job, now + self._every)
        if now < due:
            return
        self._next[job] = now + self._every
        for slow in slow_ranks(Trace({reader.number: reader.whole(_WINDOW) for reader in ranks})):
            key = (job, slow.rank, slow.event.group.key)
            if key not in self._said:
                self._said.add(key)
                self._say(f"note: {slow}\n")
