"""The page of a running job: rewritten again and again by a separate process that uses a small share of the time."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Seconds from one page to the next, at least, and how many times as long as a page takes: it costs a core 5 % of its time at most.
_EVERY: Final = 3.0
_SHARE: Final = 20
#: `nice` of the process that draws while the job runs.
_NICE: Final = "15"


class LivePage:
    """Runs `collectivelint report` to write `page`, again and again from `look`, and a last time from `finish`."""

    def __init__(self, run: Path, page: Path, say: Callable[[str], None]) -> None:
        """`run`: the folder of a run; `say` is called with the first error in writing the page."""
        self._run, self._page, self._say = run, page, say
        self._writer: subprocess.Popen[bytes] | None = None
        self._begun = self._next = 0.0
        self._every = _EVERY
        self._has_failed = False

    def look(self) -> None:
        """Start writing the page if the next one is due, without waiting for it."""
        now = time.monotonic()
        if self._writer is not None:
            if self._writer.poll() is None:
                return
            self._has_worked(self._writer)
            self._every = max(_EVERY, _SHARE * (now - self._begun))
            self._next, self._writer = self._begun + self._every, None
        if now >= self._next:
            self._begun = now
            self._writer = self._start(live=max(1, round(self._every)))
            if self._writer is None:
                self._next = now + _EVERY

    def finish(self) -> bool:
        """Write the last page, which browsers no longer reload; returns whether it was written."""
        if self._writer is not None:
            self._writer.terminate()
            self._writer.wait()
        last = self._start(live=0)
        return last is not None and self._has_worked(last)

    def _start(self, *, live: int) -> subprocess.Popen[bytes] | None:
        # As this process has its modules, whatever lies in the current folder.
        code = f"import sys; sys.path[:] = {sys.path!r}; from collectivelint.cli import main; main()"
        command = [sys.executable, "-c", code, "report", str(self._run), "--html", str(self._page), "--live", str(live)]
        nice = shutil.which("nice")
        if live and nice is not None:
            command = [nice, "-n", _NICE, *command]
        try:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
        except OSError as error:
            self._tell(str(error))
            return None

    def _has_worked(self, writer: subprocess.Popen[bytes]) -> bool:
        # A report ends with 1 where ranks have diverged.
        _, said = writer.communicate()
        if writer.returncode in (0, 1):
            return True
        lines = said.decode(errors="replace").strip().splitlines()
        self._tell(lines[-1] if lines else f"its process ended with {writer.returncode}")
        return False

    def _tell(self, problem: str) -> None:
        if not self._has_failed:
            self._say(f"collectivelint: {self._page} is not written: {problem.removeprefix('error: ')}\n")
        self._has_failed = True
