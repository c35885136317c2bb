"""State shared by the hooks of one process in the job, and the records that they write beside the trace."""

from __future__ import annotations

import functools
import inspect
import json
import os
import stat
import sys
import time
import zlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic, reading

from ...environment import READ_BACK
from ...say import say
from ...traces.folders import join_run
from .dcp_exchange import Known, Running

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from ...inside.sites import Sites

#: So many saves and loads of a process are noted.
_MOST: Final = 10_000


class Context:
    """The hooks' state in one process: the save or load of each thread, known tensors, the output folder."""

    def __init__(self, folder: Path, sites: Sites) -> None:
        """`folder` is that of one run, or the parent of several runs, see folders.py."""
        self._folder, self._sites = folder, sites
        #: Is everything read again that was written, and compared what is loaded?
        self.read_back = os.environ.get(READ_BACK, "") not in ("", "0")
        #: The save or load of this thread, and where an asynchronous one was asked for.
        self.current: ContextVar[Running | None] = ContextVar("collectivelint_save", default=None)
        self.asked_at: ContextVar[Mapping[str, Any] | None] = ContextVar("collectivelint_site", default=None)
        #: What the distributed checkpoints of this job have taught about names.
        self.known: dict[str, Known] = {}
        self._warned = False
        self._count = 0

    def guarded(self, function: Callable[[], Any], otherwise: Any = None) -> Any:
        """Call the function; if it raises, report the error and return `otherwise`. Never disturbs the job."""
        try:
            return function()
        except Exception as error:
            self.complain(error)
            return otherwise

    def complain(self, error: Exception) -> None:
        """Report the first error of the auditor."""
        if not self._warned:
            self._warned = True
            say(f"collectivelint: a checkpoint could not be audited: {type(error).__name__}: {error}\n")

    def audited(
        self,
        original: Callable[..., Any],
        storage: str,
        planner: Callable[[], Any],
        finished: Callable[[Running, Any], None],
        failed: Callable[[Running], None] | None = None,
    ) -> Callable[..., Any]:
        """Wrap a DCP function that saves or loads, to call `finished(running, result)` or `failed(running)` at its end.

        `storage` is the name of its parameter for the storage writer or reader; `planner` creates a planner for a call
        without one.
        """
        signature = inspect.signature(original)

        @functools.wraps(original)
        def call(*args: Any, **kwargs: Any) -> Any:
            running, args, kwargs = self._begun(signature, args, kwargs, storage, planner)
            token = self.current.set(running)
            try:
                result = original(*args, **kwargs)
            except BaseException:
                if running is not None and failed is not None:
                    self.guarded(functools.partial(failed, running))
                raise
            finally:
                self.current.reset(token)
            if running is not None:
                self.guarded(functools.partial(finished, running, result))
            return result

        return call

    def _begun(
        self, signature: inspect.Signature, args: Any, kwargs: Any, storage: str, planner: Callable[[], Any]
    ) -> tuple[Running | None, Any, Any]:
        """The state of a new save or load (None if its arguments are not understood), and its arguments."""
        try:
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            given = bound.arguments
            if given.get("planner") is None:
                given["planner"] = planner()
            running = Running(given["planner"], given[storage], given.get("process_group"), self.site())
            if not running.site and running.path is not None:
                running.site = self._asked_elsewhere(running.path)
        except Exception as error:
            self.complain(error)
            return None, args, kwargs
        return running, bound.args, bound.kwargs

    def site(self) -> Mapping[str, Any]:
        """The user's call site, or that of the request for an asynchronous save; {} if unknown."""
        asked = self.asked_at.get()
        if asked is not None:
            return asked
        frame = self._sites.find(sys._getframe(1))
        while frame is not None and f"{os.sep}safetensors{os.sep}" in frame.f_code.co_filename:
            frame = self._sites.find(frame.f_back)
        return self._sites.describe(frame) if frame is not None else {}

    def note_site(self, path: Any, site: Mapping[str, Any]) -> None:
        """Record where a save was requested, for the process that performs it."""
        if path is not None:
            atomic.write(self._asked_file(path), json.dumps(dict(site)), follow=False)

    def _asked_file(self, path: Any) -> Path:
        name = zlib.crc32(os.path.abspath(os.fspath(path)).encode())
        return join_run(self._folder) / f"checkpoint-{os.uname().nodename}-asked-{name:08x}.json"

    def _asked_elsewhere(self, path: Any) -> Mapping[str, Any]:
        """Where the save to a path was requested, if another process has recorded that; else {}."""
        try:
            found = json.loads(reading.read_bytes(self._asked_file(path), follow=False))
        except (OSError, ValueError, TypeError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def record(self, kind: str, data: Mapping[str, Any]) -> None:
        """Append a line to this process's file beside the trace, for the launcher and the report."""
        self._count += 1
        if self._count > _MOST:
            return
        host = os.uname().nodename
        line = json.dumps({"kind": kind, "time": time.time(), "host": host, **data})
        # Lines of threads do not mix: each is one write.
        file = join_run(self._folder) / f"checkpoint-{host}-{os.getpid()}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(file, flags, 0o666), "ab", buffering=0) as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise OSError(22, "is not a regular file", str(file))
            stream.write(line.encode() + b"\n")
