"""The processes below the one that we have started, and ending them: launchers first, since they end their ranks.

Only these processes are ever signalled: each is identified by pid and start time, and was found below our child.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Collection, Iterator

    import psutil

#: Seconds a job may take to end: torchrun gives its ranks 30 before it kills them itself.
GRACE: Final = 35.0
#: Seconds after which a launcher that was asked is not expected to pass that on to a launcher below it.
_PASSING_ON: Final = 1.0
#: Seconds a process has to end when all below it were killed, before it is killed itself.
_AFTERWARDS: Final = 3.0
_POLL: Final = 0.05


class Descendants:
    """Our child and its descendants, including those that have lost their parent since they were seen."""

    def __init__(self, child: subprocess.Popen[bytes]) -> None:
        """`child` must not have been waited for yet, so its pid is not reused. Raises ImportError without psutil."""
        import psutil

        self._error = psutil.Error
        self._child = child
        self._root = psutil.Process(child.pid)
        #: Each process and its parent.
        self._parents: dict[psutil.Process, psutil.Process | None] = {self._root: None}
        #: When they were told to end.
        self._asked: dict[psutil.Process, float] = {}
        self.look()

    def look(self) -> list[psutil.Process]:
        """Those that are alive now, parents before their children."""
        # What has ended is not to stay there as if it had not.
        self._child.poll()
        for process in [process for process in self._parents if self._is_alive(process)]:
            if self._is_alive(self._parents[process]):
                # Found below its parent already.
                continue
            with suppress(self._error):
                below = {process.pid: process} | {child.pid: child for child in process.children(recursive=True)}
                for child in below.values():
                    if child not in self._parents:
                        with suppress(self._error):
                            self._parents[child] = below.get(child.ppid())
        return [process for process in self._parents if self._is_alive(process)]

    def tell(self, number: int) -> None:
        """Send a signal to our child; SIGINT to our process group as a terminal does, since shells wait for theirs."""
        for process in {self._root, *(self._of_our_group() if number == signal.SIGINT else ())}:
            self._send(process, number)

    def were_told(self) -> None:
        """Note that the terminal has sent the signal to our whole process group already."""
        for process in self._of_our_group():
            self._asked[process] = time.monotonic()

    def _of_our_group(self) -> Iterator[psutil.Process]:
        for process in self.look():
            with suppress(OSError):
                if os.getpgid(process.pid) == os.getpgrp():
                    yield process

    def end(self, number: int, ranks: Collection[int], say: Callable[[str], None]) -> None:
        """Signal all processes to end and wait for that; kill those that are still alive after a while.

        `ranks`: pids of the processes that their launcher has to end.
        """
        deadline = time.monotonic() + GRACE
        while (alive := self.look()) and time.monotonic() < deadline:
            launchers = {above for process in alive if process.pid in ranks for above in self._above(process)}
            for process in alive:
                if process not in self._asked and self._is_next(process, launchers):
                    self._send(process, number)
            time.sleep(_POLL)
        while alive := self.look():
            # From below: a launcher whose ranks are gone ends by itself.
            parents = {self._parents[process] for process in alive}
            lowest = [process for process in alive if process not in parents]
            for process in lowest:
                self._send(process, signal.SIGKILL)
            deadline = time.monotonic() + _AFTERWARDS
            while (left := self.look()) and time.monotonic() < deadline:
                time.sleep(_POLL)
            if stuck := [str(process.pid) for process in lowest if process in left]:
                say(f"collectivelint: cannot be ended: {', '.join(stuck)}\n")
                return

    def _is_next(self, process: psutil.Process, launchers: Collection[psutil.Process]) -> bool:
        """Whether to signal a process now; not while a parent may do so, as a second signal interrupts its shutdown."""
        parent = self._parents[process]
        if not self._is_alive(parent):
            return True
        asked = self._asked.get(parent) if parent is not None else None
        return process in launchers and asked is not None and time.monotonic() > asked + _PASSING_ON

    def _above(self, process: psutil.Process) -> list[psutil.Process]:
        found: list[psutil.Process] = []
        parent = self._parents[process]
        while parent is not None:
            found.append(parent)
            parent = self._parents[parent]
        return found

    def _is_alive(self, process: psutil.Process | None) -> bool:
        try:
            # psutil compares the start time.
            return process is not None and process.is_running() and process.status() != "zombie"
        except self._error:
            return False

    def _send(self, process: psutil.Process, number: int) -> None:
        self._asked[process] = time.monotonic()
        with suppress(self._error, OSError):
            process.send_signal(number)
