"""Exceptions as the trace stores them: what failed, and whether the rank itself or another rank caused the failure."""

from __future__ import annotations

import linecache
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from .sites import shorten

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

    from ..traces.model import Failure
    from ..traces.writer import Writer
    from .sites import Sites

#: This package, whose wrappers stand between the user's call and torch's.
_HERE: Final = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
#: Folders of torch that read data and start processes.
_OTHER_FOLDERS: Final = ("utils", "multiprocessing")
#: What gloo, NCCL and the store say when a call took too long, and when the other side is gone.
_TIMEOUT: Final = re.compile(
    r"timed out (waiting|after .*waiting)|(wait|application|connect|collective operation) timeout"
    r"|failed to pass monitoredBarrier",
    re.IGNORECASE,
)
_CONNECTION: Final = re.compile(
    r"gloo/transport|connection (was |is )?(closed|reset|refused|aborted)|broken pipe|socket (is )?closed"
    r"|ncclRemoteError|ncclSystemError|communicator (was|is) aborted|failed to (send|recv)",
    re.IGNORECASE,
)
#: Classes of torch's C++ code. gloo raises plain RuntimeErrors, which anything else may raise as well.
_TORCH: Final = frozenset({"DistError", "DistBackendError", "DistNetworkError", "DistStoreError"})
_LONGEST: Final = 4000
#: So many exceptions that left calls are recorded.
_MOST: Final = 1000
_DEEPEST: Final = 12


class Failures:
    """Writes the exceptions of a process into its trace."""

    def __init__(self, sites: Sites, folder: str) -> None:
        """`sites` recognises the user's own frames; `folder` holds the library whose calls are traced."""
        self._sites = sites
        self._library = folder + os.sep
        self._other = tuple(os.path.join(folder, name, "") for name in _OTHER_FOLDERS)
        self._count = 0

    def ended(self, writer: Writer, error: BaseException) -> str:
        """Record the exception that ends the process; return its text."""
        said = text(error)
        found = place(error.__traceback__, self._sites)
        writer.name("ended", {"failure": self.failure(error), "error": said, "time": time.time(), "place": found})
        return said

    def raised(self, writer: Writer, op: str, group: int, calls: int, error: BaseException) -> None:
        """Record an exception raised by function `op` on group number `group`, after `calls` calls on that group."""
        self._count += 1
        frame = self._sites.find(sys._getframe(1))
        if self._count <= _MOST and frame is not None:
            where = self._sites.describe(frame)
            record = {"op": op, "group": group, "calls": calls, "error": text(error), "time": time.time()}
            writer.name("raised", {**record, "place": where})

    def failure(self, error: BaseException) -> Failure:
        """The cause of an exception: the rank's own, an interrupt, a timeout or a lost connection.

        A lost connection and a timeout are recognised by torch's own words, in an exception raised by a call of torch.
        An exception with the same words from another place, such as a signal handler during that call, is the rank's
        own. In a chain of exceptions the latest one that matches decides.
        """
        if isinstance(error, KeyboardInterrupt):
            return "interrupt"
        for one in _chain(error):
            if type(one).__name__ in _TORCH or (
                type(one) is RuntimeError and self._is_raised_by_library(one.__traceback__)
            ):
                said = text(one)
                if _TIMEOUT.search(said):
                    return "timeout"
                if _CONNECTION.search(said):
                    return "connection"
        return "own"

    def _is_raised_by_library(self, trace: TracebackType | None) -> bool:
        """Whether the innermost frame is the library's, so its C++ code raised the error, not a signal handler."""
        files = [frame.f_code.co_filename for frame, _ in _walk(trace)][-1:]
        return any(file.startswith((self._library, _HERE)) and not file.startswith(self._other) for file in files)


def text(error: BaseException) -> str:
    """The exception as `TypeError: cannot pickle '_thread.lock' object`; only its type if `str` fails."""
    try:
        return f"{type(error).__name__}: {error}"[:_LONGEST]
    except Exception:
        return type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those that it was raised from or during."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def place(trace: TracebackType | None, sites: Sites) -> dict[str, Any] | None:
    """The innermost frame of the user's own code in a traceback, with those around it; None if there is none."""
    frames = [(frame, line) for frame, line in _walk(trace) if sites.find(frame) is frame][::-1]
    if not frames:
        return None
    frame, line = frames[0]
    return {
        "path": shorten(frame.f_code.co_filename),
        "line": line,
        "function": _name(frame),
        "stack": [_shown(*found) for found in frames[:_DEEPEST]],
    }


def _walk(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _name(frame: FrameType) -> str:
    return str(getattr(frame.f_code, "co_qualname", frame.f_code.co_name))


def _shown(frame: FrameType, line: int) -> str:
    path = frame.f_code.co_filename
    return f"{shorten(path)}:{line} {_name(frame)}: {linecache.getline(path, line).strip()}"
