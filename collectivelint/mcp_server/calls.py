"""One tool call: how it is cancelled, and where it keeps what the next call can reuse."""

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
    """A tool call, as seen by the thread that runs it. `cache` is a folder of this server, not of the project."""

    cache: Path
    cancelled: Event = field(default_factory=Event)

    def go_on(self, done: int = 0, total: int = 0) -> None:
        """Raise CancelledError if the client has cancelled the call; the arguments, a run's progress, are ignored."""
        del done, total
        if self.cancelled.is_set():
            raise CancelledError
