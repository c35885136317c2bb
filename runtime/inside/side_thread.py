"""A thread inside each rank that does for the tracer what no other process can."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Final

from ..say import say
from .activity import activity
from .carrier import Carrier

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ..environment import OnDivergence
    from ..traces.writer import Writer
    from .sites import Sites
    from .source import Source

#: Seconds between two looks at what the monitor wants, and at the threads that are there.
_PULSE: Final = 0.5
MAIN: Final = threading.main_thread().ident


class SideThread:
    """Reports on request where the main thread is, lists the other threads, and carries the monitor's messages."""

    def __init__(
        self, sites: Sites, writer: Callable[[], Writer | None], watch: OnDivergence | None, source: Source
    ) -> None:
        """`writer()` is the trace's, None once it has ended. `watch`: compare the ranks in a process beside the job."""
        self._sites, self._writer, self._watch, self._source = sites, writer, watch, source
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, folder: Path, rank: int, attempt: int) -> None:
        """Begin, for the trace of a rank in the folder of a run."""
        self._ended.clear()
        self._thread = threading.Thread(
            target=self._serve, args=(folder, rank, attempt), name="collectivelint", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread, waiting up to 2 s. One still in C++ at interpreter shutdown would crash the process."""
        self._ended.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2.0)

    def _serve(self, folder: Path, rank: int, attempt: int) -> None:
        if self._watch is not None and os.environ.get("LOCAL_RANK", "0") == "0":
            _start_watcher(folder, self._watch)
        answered = 0
        others: list[int] = []
        carrier: Carrier | None = Carrier(folder, rank, attempt, self._source.connect)
        while (writer := self._writer()) is not None and not self._ended.is_set():
            try:
                asked = writer.asked
                if asked != answered:
                    answered = asked
                    # Another process cannot look.
                    frame = sys._current_frames().get(MAIN or 0)
                    stack = self._sites.stack(frame)
                    does = activity(frame, has_accelerator=self._source.has_accelerator())
                    # A frame kept here would keep the job's variables.
                    del frame
                    writer.answer(asked, stack, does)
                if (now := self._working()) != others:
                    others = now
                    writer.name("threads", others)
                if carrier is not None:
                    carrier.carry()
            except Exception:
                # Most likely the store is gone, and with it the job.
                carrier = None
            self._ended.wait(_PULSE)

    def _working(self) -> list[int]:
        """The native ids of other threads that run the project's own code, and may therefore make calls.

        Threads of libraries (pinning memory, writing logs, idle in a pool) are left out.
        """
        others = [thread for thread in threading.enumerate() if thread.ident not in (MAIN, threading.get_ident())]
        if not others:
            return []
        frames = sys._current_frames()
        try:
            return sorted(
                thread.native_id or 0 for thread in others if self._sites.is_project(frames.get(thread.ident or 0))
            )
        finally:
            # Our own frame is among them. Together with these variables it would be a circle, which keeps alive what all
            # the others hold, the job's tensors and groups, until the garbage is collected.
            frames.clear()


def _start_watcher(folder: Path, on_divergence: OnDivergence) -> None:
    """Start a process that watches the job and ends with it."""
    code = f"import sys; sys.path[:] = {sys.path!r}; from collectivelint.runtime.beside.watch import main; main()"
    command = [sys.executable, "-c", code, str(folder.resolve()), on_divergence]
    try:
        subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    except OSError as error:
        say(f"collectivelint: the ranks are not compared: {error}\n")
