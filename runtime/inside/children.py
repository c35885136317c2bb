"""Records how the ranks that this process started have ended, and which of them it ended itself.

It runs in torchrun, `mp.spawn` or a script with `subprocess`: only the parent sees the exit code of a process. The exit
is written beside the ring of the rank (ring.py) for the reader of the trace; the parent itself is not disturbed.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Children:
    """The processes that this one has started. `folder` is that of one run, or the parent of several runs."""

    def __init__(self, folder: Path) -> None:
        """Nothing is hooked yet."""
        self._folder = folder
        #: The signal that this process sent last to a child, by the child's number. One that ended afterwards was ended by that.
        self._sent: dict[int, str] = {}

    def hook_subprocess(self, module: Any) -> None:
        """Record the exit codes that `poll` and `wait` of `subprocess.Popen` return, and the signal sent before."""
        self._hook(module.Popen, ("poll", "wait"), "send_signal")

    def hook_multiprocessing(self, module: Any) -> None:
        """Record the same for the `Popen` class of one multiprocessing start method, whose `wait` calls `poll`."""
        self._hook(module.Popen, ("poll",), "_send_signal")

    def _hook(self, kind: Any, asks: tuple[str, ...], sends: str) -> None:
        for name in asks:
            if name in vars(kind):
                setattr(kind, name, self._asked(vars(kind)[name]))
        if sends in vars(kind):
            setattr(kind, sends, self._sending(vars(kind)[sends]))

    def _asked(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def ask(child: Any, *args: Any, **kwargs: Any) -> Any:
            known = child.returncode
            try:
                return original(child, *args, **kwargs)
            finally:
                if known is None and child.returncode is not None:
                    self.ended(child.pid, child.returncode)

        return ask

    def _sending(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(original)
        def send(child: Any, sig: int) -> Any:
            # One that has ended already was not ended by this signal.
            with contextlib.suppress(Exception):
                if child.poll() is None:
                    self.sends(child.pid, sig)
            return original(child, sig)

        return send

    def sends(self, pid: int, number: int) -> None:
        """This process is about to send a signal to one of its children."""
        try:
            self._sent[pid] = signal.Signals(number).name
        except ValueError:
            self._sent[pid] = f"signal {number}"

    def ended(self, pid: int, code: int | None) -> None:
        """Record the exit code of a child, None if it was not seen to end. Errors are ignored."""
        sent = self._sent.pop(pid, "")
        if "RANK" in os.environ:
            # A rank itself: its children load data or compile, and there may be many, on thousands of ranks.
            return
        try:
            for ring in self._rings(pid):
                self._write(ring, code, sent)
        except Exception:
            # A full disk, for one: how the child ended remains unknown.
            return

    def _rings(self, pid: int) -> Iterator[Path]:
        """The trace files of a child, in the launcher's run or in the run named after this process."""
        own = f"-{os.uname().nodename.replace(os.sep, '-')}-{pid}"
        launched = f"-{os.getpid()}"
        for folder in (self._folder, *(Path(place) for place in _names(self._folder) if place.endswith(launched))):
            for path in _names(folder):
                stem = path.removesuffix(".ring")
                if stem != path and (stem.endswith(own) or f"{own}-" in stem):
                    yield Path(path)

    def _write(self, ring: Path, code: int | None, sent: str) -> None:
        # Here, since most processes have no child that is a rank.
        import json

        from collectivelint import atomic

        from ..traces.reader import exit_file

        if not exit_file(ring).exists():
            data = json.dumps({"code": code, "signal": sent, "time": time.time()})
            atomic.write(exit_file(ring), data, follow=False, durable=False)


def _names(folder: Path) -> list[str]:
    """The paths in a folder. It is read once: with thousands of ranks each read is slow."""
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries]
