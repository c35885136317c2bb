"""The signals that the launcher receives while a job runs: collected one by one, so that they do not end it."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What schedulers and users send to a job; it decides what to do about it.
_SIGNALS: Final = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2") if hasattr(signal, name)
)
#: `si_code` of what a terminal has sent, as against a process.
_KERNEL: Final = 0x80


@dataclass(frozen=True, slots=True)
class Received:
    """A signal. `is_typed`: Ctrl-C, which the terminal has sent to the job as well."""

    number: int
    is_typed: bool = False

    @property
    def ends(self) -> bool:
        """Whether the signal asks a job to end."""
        return self.number not in (signal.SIGUSR1, signal.SIGUSR2)


#: Waits for a signal, or the end of the process, for so many seconds at most.
Wait: TypeAlias = "Callable[[float], list[Received]]"


@contextmanager
def taken(process: subprocess.Popen[bytes]) -> Iterator[Wait]:
    """Collect signals while `process` runs. Yields a function that waits for signals and returns them."""
    if threading.current_thread() is not threading.main_thread():
        # Python lets no other thread do that.
        yield lambda seconds: _wait(process, seconds)
    elif hasattr(signal, "sigtimedwait"):
        with _blocked() as wait:
            yield wait
    else:
        with _handled(process) as wait:
            yield wait


@contextmanager
def _blocked() -> Iterator[Wait]:
    numbers = {*_SIGNALS, signal.SIGCHLD}

    def wait(seconds: float) -> list[Received]:
        found = signal.sigtimedwait(numbers, seconds)
        if found is None or found.si_signo == signal.SIGCHLD:
            return []
        return [Received(found.si_signo, found.si_signo == signal.SIGINT and found.si_code == _KERNEL)]

    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield wait
    finally:
        # What has come since was for the job, which has ended.
        while signal.sigtimedwait(numbers, 0) is not None:
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _handled(process: subprocess.Popen[bytes]) -> Iterator[Wait]:
    """The fallback if the system does not tell who sent a signal: SIGINT in the foreground counts as Ctrl-C."""
    received: list[Received] = []

    def handler(number: int, _: object) -> None:
        received.append(Received(number, number == signal.SIGINT and _is_in_front()))

    def wait(seconds: float) -> list[Received]:
        deadline = time.monotonic() + seconds
        while not received and process.poll() is None and time.monotonic() < deadline:
            _wait(process, 0.05)
        found = received[:]
        del received[: len(found)]
        return found

    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield wait
    finally:
        for number, known in before.items():
            signal.signal(number, known)


def _wait(process: subprocess.Popen[bytes], seconds: float) -> list[Received]:
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    return []


def _is_in_front() -> bool:
    """Whether this process is in the foreground process group of the terminal."""
    for number in (0, 1, 2):
        # Any may be closed, or no terminal.
        with suppress(OSError):
            if os.tcgetpgrp(number) == os.getpgrp():
                return True
    return False
