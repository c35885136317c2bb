"""The record of a rank's process before it joins a process group: that it exists, how far it got and where it is.

A process has a record from its start if RANK and WORLD_SIZE are in its environment, else from its init_process_group
on. The children of a rank inherit RANK; such a process has no record unless it calls init_process_group itself.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # signal without its enumerations
import _thread
import atexit
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ..environment import MANIFEST
from ..traces import processes
from ..traces.rank_record import asking_file, encode, file_name

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType, TracebackType

#: `PID:RANK:WORLD_SIZE` of the process that has a record, for those that it starts.
VARIABLE: Final = "COLLECTIVELINT_RANK_PROCESS"
#: Seconds between two looks for the request to say where the main thread is.
_PULSE: Final = 0.5
#: Seconds a fork waits at most for the thread to end.
_PATIENCE: Final = 1.0
_DEEPEST: Final = 12
#: Characters of a text in the record, of which all have to fit.
_LONGEST: Final = 200
_OURS: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB: Final = os.path.dirname(os.__file__) + os.sep
_PACKAGES: Final = ("site-packages", "dist-packages")


class _Record:
    """The record of this process."""

    def __init__(self, folder: str, rank: int, world_size: int) -> None:
        """Write it for the first time. Raises OSError if the file cannot be created."""
        host, pid = os.uname().nodename, os.getpid()
        environment = os.environ.get
        meets = f"{environment('MASTER_ADDR', '')}:{environment('MASTER_PORT', '')}"
        self.identity = (rank, world_size)
        self.facts: dict[str, Any] = {
            "begun": processes.started(pid),
            "job": environment("TORCHELASTIC_RUN_ID", meets)[:_LONGEST],
            "attempt": _number("TORCHELASTIC_RESTART_COUNT") or 0,
            "local": _number("LOCAL_WORLD_SIZE") or 0,
        }
        self._file = os.path.join(folder, file_name(rank, world_size, host, pid))
        # The thread and the main one write the whole record.
        self._lock = _thread.RLock()
        # A process that has replaced itself (`exec`) has left one.
        self._write(os.O_CREAT)

    def note(self, **facts: Any) -> None:
        """Add facts to the record. If writing fails, the file keeps the earlier ones."""
        with self._lock, suppress(OSError):
            self.facts.update(facts)
            self._write()

    def _write(self, more: int = 0) -> None:
        # Opened each time: a job may close all files that it does not know, and open its own under their numbers.
        flags = os.O_WRONLY | more | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        handle = os.open(self._file, flags, 0o666)
        try:
            with suppress(OSError):
                os.pwrite(handle, encode(self.facts), 0)
        finally:
            os.close(handle)


class _Answerer:
    """A thread that reports where the main thread is, from before the job's first import on.

    It imports nothing, `threading` least of all, which would take it for the main thread. It handles no signals, and it
    is stopped while the process forks.
    """

    def __init__(self, record: _Record, folder: str) -> None:
        self._record, self._asking = record, asking_file(folder)
        threading = sys.modules.get("threading")
        self._main: int = threading.main_thread().ident if threading is not None else _thread.get_ident()
        self._seen = 0
        self._running: tuple[_thread.LockType, _thread.LockType, list[int]] | None = None

    def start(self) -> None:
        wake, ended = _thread.allocate_lock(), _thread.allocate_lock()
        wake.acquire()
        ended.acquire()
        number: list[int] = []
        before = _signal.pthread_sigmask(_signal.SIG_BLOCK, _signal.valid_signals())
        try:
            _thread.start_new_thread(self._serve, (wake, ended, number))
            self._running = (wake, ended, number)
        except RuntimeError:
            # The system has no thread to spare, or the interpreter is being taken down.
            pass
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, before)

    def stop(self) -> bool:
        """Stop the thread and wait for it; return whether it was running."""
        running, self._running = self._running, None
        if running is None:
            return False
        wake, ended, number = running
        wake.release()
        if ended.acquire(timeout=_PATIENCE) and number:
            # The system counts it for a moment more, and Python warns of a fork while it does.
            deadline = time.monotonic() + 0.05
            while os.path.exists(f"/proc/self/task/{number[0]}") and time.monotonic() < deadline:
                time.sleep(0.0002)
        return True

    def _serve(self, wake: _thread.LockType, ended: _thread.LockType, number: list[int]) -> None:
        try:
            number.append(_thread.get_native_id())
            while not wake.acquire(timeout=_PULSE):
                with suppress(Exception):
                    self._answer()
        finally:
            ended.release()

    def _answer(self) -> None:
        try:
            asked = os.stat(self._asking, follow_symlinks=False).st_mtime_ns  # noqa: PTH116  # no import, no object
        except OSError:
            return
        if asked != self._seen:
            self._seen = asked
            frames = sys._current_frames()
            try:
                found = _frames(frames.get(self._main))
            finally:
                # Our own frame is among them, which would be a circle.
                frames.clear()
            self._record.note(frames=found, answered=asked)


_folder: list[Path] = []
_record: list[_Record] = []
_answerer: list[_Answerer] = []
_hooked: list[None] = []


def start(folder: Path) -> None:
    """Write the record if this process is a rank; `folder` is the run's, or the parent folder of several runs."""
    rank, world_size = _number("RANK"), _number("WORLD_SIZE")
    if rank is None or not world_size or not os.path.isfile(os.path.join(folder, MANIFEST)):
        return
    above, _, known = os.environ.get(VARIABLE, "").partition(":")
    if known == f"{rank}:{world_size}" and above != str(os.getpid()):
        # A loader's worker, a command that the rank runs.
        return
    _begin(str(folder), rank, world_size)
    if _record:
        answerer = _Answerer(_record[0], str(folder))
        _answerer.append(answerer)
        answerer.start()


def _begin(folder: str, rank: int, world_size: int) -> None:
    _record.clear()
    with suppress(OSError):
        # Where there is no room for it, the tracer will find none either, and says so.
        _record[:] = [_Record(folder, rank, world_size)]
        os.environ[VARIABLE] = f"{os.getpid()}:{rank}:{world_size}"
    if not _hooked:
        _hooked.append(None)
        atexit.register(_at_exit)
        paused: list[_Answerer] = []
        os.register_at_fork(
            before=lambda: paused.extend(one for one in _answerer if one.stop()),
            after_in_parent=lambda: _resume(paused),
            after_in_child=lambda: _drop(paused),
        )


def _resume(paused: list[_Answerer]) -> None:
    for one in paused:
        one.start()
    paused.clear()


def _drop(paused: list[_Answerer]) -> None:
    """A forked child is not this rank, unless it calls init_process_group."""
    paused.clear()
    _answerer.clear()
    _record.clear()


def _at_exit() -> None:
    if _record and not _record[0].facts.get("joined"):
        # Set for what nothing has caught; no hook is needed, and libraries look at who has changed sys.excepthook.
        error = getattr(sys, "last_value", None)
        text = f"{type(error).__name__}: {error}"[:_LONGEST] if error is not None else ""
        _record[0].note(ended=time.time(), error=text)
    for one in _answerer:
        one.stop()


def imported(folder: Path) -> None:
    """torch.distributed has been imported; `folder` as for `start`."""
    _folder[:] = [folder]
    if _record:
        _record[0].note(imported=time.time())


def untraced(error: BaseException) -> None:
    """The process goes on without being recorded."""
    if _record:
        text = isinstance(error, OSError) and error.strerror
        _record[0].note(untraced=(text or f"{type(error).__name__}: {error}")[:_LONGEST])


class Joining:
    """Context manager around a call of init_process_group. Its own errors never reach the job."""

    def __init__(self, original: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """The call that is about to be made."""
        self._call = (original, args, kwargs)

    def __enter__(self) -> None:
        """Note that it has begun."""
        with suppress(Exception):
            identity = _identity(*self._call)
            if identity is None or not _folder:
                return
            if not _record or _record[0].identity != identity:
                from ..traces.folders import join_run

                _begin(str(join_run(_folder[0])), *identity)
            if _record:
                _record[0].note(entered=time.time(), left=0.0, raised="", frames=_frames(sys._getframe(1)))

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        """Note how it has ended."""
        with suppress(Exception):
            for record in _record:
                if error is None:
                    record.note(joined=time.time())
                else:
                    import torch.distributed as dist

                    waited = isinstance(error, getattr(dist, "DistError", ()))
                    text = f"{type(error).__name__}: {error}"[:_LONGEST]
                    record.note(left=time.time(), raised=text, waited=waited)
            if error is None:
                # From here on the tracer's own thread answers.
                for one in _answerer:
                    one.stop()
                _answerer.clear()


def _identity(original: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[int, int] | None:
    """Rank and size of the group that is about to be created; None if they are known only afterwards."""
    import inspect

    given = inspect.signature(original).bind(*args, **kwargs).arguments
    rank, world_size = given.get("rank", -1), given.get("world_size", -1)
    rank = rank if rank is not None and rank >= 0 else _number("RANK")
    world_size = world_size if world_size is not None and world_size > 0 else _number("WORLD_SIZE")
    return (rank, world_size) if rank is not None and world_size else None


def _number(variable: str) -> int | None:
    text = os.environ.get(variable, "")
    return int(text) if text.isdecimal() and len(text) < 8 else None


def _frames(frame: FrameType | None) -> list[tuple[str, int, str]]:
    """The project's frames, innermost first; if there are none, the innermost frame only."""
    torch = getattr(sys.modules.get("torch"), "__file__", None)
    hidden = (_OURS, os.path.dirname(torch) + os.sep) if torch else (_OURS,)
    found: list[tuple[str, int, str]] = []
    innermost = frame
    while frame is not None and len(found) < _DEEPEST:
        path = frame.f_code.co_filename
        is_library = path.startswith(_STDLIB) and not any(part in path for part in _PACKAGES)
        if not is_library and not path.startswith(hidden) and (path[:1] != "<" or path in ("<string>", "<stdin>")):
            found.append(_described(frame))
        frame = frame.f_back
    return found or ([_described(innermost)] if innermost is not None else [])


def _described(frame: FrameType) -> tuple[str, int, str]:
    code = frame.f_code
    return (code.co_filename, frame.f_lineno or 0, getattr(code, "co_qualname", code.co_name))
