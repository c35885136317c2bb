"""Ask ranks that other ranks wait for to record their stacks, early: at the group's timeout it would be too late."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

    from ..traces.model import Event
    from ..traces.reader import Reader

#: Seconds of waiting before the first question, and between two of them for one rank; later a part of the time waited. Each
#: answer is a line of the trace.
FIRST: Final = 1.0
_BETWEEN: Final = 1.5
_PART: Final = 0.2


class Whereabouts:
    """Remembers when each rank was asked; `look` asks again when it is due."""

    def __init__(self) -> None:
        """Initially no rank has been asked."""
        self._asked: dict[Path, float] = {}

    def look(self, waits: list[tuple[Event, tuple[int, ...]]], readers: list[Reader], now: float) -> None:
        """Ask the ranks of this host that other ranks wait for to record their stacks.

        `waits`: see `wait_graph.waiting`; `now`: seconds since the epoch.
        """
        waited: dict[int, float] = {}
        for event, absent in waits:
            if now - event.start >= FIRST:
                waited.update({rank: max(now - event.start, waited.get(rank, 0.0)) for rank in absent})
        for reader in readers:
            wait = waited.get(reader.number)
            if wait is not None and now - self._asked.get(reader.path, 0.0) >= max(_BETWEEN, _PART * wait):
                self._asked[reader.path] = now
                with suppress(OSError):
                    reader.ask()
