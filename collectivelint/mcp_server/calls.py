"""One call of a tool: what it may stop for, and where it keeps what the next call can use."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Event
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class CancelledError(Exception):
    """The client has cancelled the call: its answer is not read."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool, seen from the thread in which it runs. `cache` is a folder of this server, not of the project."""

    cache: Path
    cancelled: Event = field(default_factory=Event)

    def go_on(self, done: int = 0, total: int = 0) -> None:
        """Raise CancelledError if the client has cancelled the call; the numbers are the progress of a run, and not used."""
        del done, total
        if self.cancelled.is_set():
            raise CancelledError
