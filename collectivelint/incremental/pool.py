"""Several processes for one run. Each keeps what it has read, so that every file is parsed and lowered once."""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.connection import Connection

#: Fewer files than this for each process do not pay for starting it.
_FEWEST: Final = 60


def usable(wanted: int, files: int) -> int:
    """How many processes to use; 0 wanted means as many as there are CPUs."""
    if sys.platform != "linux":
        # Elsewhere a fork of a process with threads is not safe, and a process that is started afresh reads everything again.
        return 1
    available = wanted or len(os.sched_getaffinity(0))
    return max(1, min(available, files // _FEWEST))


#: Shares of the work that differ by more than this are shared out by size alone.
_MOST_UNEVEN: Final = 1.12


def divide(paths: Sequence[str], parts: int) -> list[list[str]]:
    """Divide the files into parts of about the same size, each made of whole folders if those can be balanced.

    A file that two processes need is read and interpreted in both; projects side by side usually share none.
    """
    # A file outside the folder at hand has an absolute path, the others do not.
    top = os.path.commonpath(paths) if len({path.startswith(os.sep) for path in paths}) == 1 else ""
    folders: dict[str, list[str]] = {}
    for path in paths:
        head, sep, _ = path[len(top) :].lstrip(os.sep).partition(os.sep)
        folders.setdefault(head if sep else "", []).append(path)
    sizes = {name: sum(map(_size, inside)) for name, inside in folders.items()}
    loads = [0] * parts
    found: list[list[str]] = [[] for _ in range(parts)]
    for name in sorted(folders, key=lambda name: (-sizes[name], name)):
        least = loads.index(min(loads))
        loads[least] += sizes[name]
        found[least] += folders[name]
    return found if max(loads) * parts <= _MOST_UNEVEN * sum(loads) else split(paths, parts)


def split(paths: Sequence[str], parts: int) -> list[list[str]]:
    """Divide the files into parts of about the same size in bytes; neighbours stay together, they call each other."""
    sizes = [_size(path) for path in paths]
    share = sum(sizes) / parts
    found: list[list[str]] = [[]]
    total = 0.0
    for path, size in zip(paths, sizes, strict=True):
        if total + size / 2 > share * len(found) and len(found) < parts:
            found.append([])
        found[-1].append(path)
        total += size
    return found


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116  # thousands of files: a Path for each takes longer than the call
    except OSError:
        return 0


class WorkerError(Exception):
    """A worker process ended or failed unexpectedly; the message says what happened."""


def _end_with_parent() -> None:
    """End this process when its parent ends, for whatever reason."""
    import multiprocessing

    parent = multiprocessing.parent_process()
    if parent is not None:
        # Waits for the end of a pipe that the parent holds: it may have ended before we came here.
        parent.join()
        os._exit(1)


class Crew:
    """Worker processes that run one task after another, each with its own state.

    Workers are forked, so they inherit everything that exists then; requests and answers are sent through pipes.
    """

    def __init__(self, tasks: Sequence[Callable[[Any], Any]], members: int) -> None:
        """`tasks` are called in the processes, with what `ask` is given for each."""
        import multiprocessing

        self._tasks = tasks
        context = multiprocessing.get_context("fork")
        self._connections: list[Connection] = []
        self._processes = []
        # Memory that exists now is shared with the processes until it is written to, also by the garbage collector.
        gc.freeze()
        for _ in range(members):
            ours, theirs = context.Pipe()
            process = context.Process(target=self._serve, args=(theirs, [*self._connections, ours]), daemon=True)
            process.start()
            theirs.close()
            self._connections.append(ours)
            self._processes.append(process)
        gc.unfreeze()

    def _serve(self, connection: Connection, others: list[Connection]) -> None:
        import threading

        gc.disable()
        # In the middle of a task nothing is received, and the end of the parent would not be noticed for minutes.
        threading.Thread(target=_end_with_parent, daemon=True).start()
        for other in others:
            other.close()
        try:
            while True:
                number, given = connection.recv()
                connection.send(self._tasks[number](given))
        except (EOFError, KeyboardInterrupt):
            return

    def ask(self, task: Callable[[Any], Any], given: Sequence[Any]) -> list[Any]:
        """Run a task in all processes, each with its own item of `given`; returns their answers."""
        number = self._tasks.index(task)
        for member, value in enumerate(given):
            self._send(member, (number, value))
        return [self._answer(member) for member in range(len(self._connections))]

    def share(
        self, task: Callable[[Any], Any], given: Sequence[Sequence[Any]], *, help_others: bool = True
    ) -> Iterator[tuple[int, Any]]:
        """Distribute pieces of work; yields (process number, answer) as answers arrive.

        Each process does its own pieces first, then takes over pieces of the others.
        """
        number = self._tasks.index(task)
        from multiprocessing.connection import wait

        queues = [list(pieces) for pieces in given]
        busy: dict[Connection, int] = {}

        def next_for(member: int) -> None:
            longest = max(queues, key=len)
            if queues[member]:
                piece = queues[member].pop(0)
            elif longest and help_others:
                piece = longest.pop()
            else:
                return
            self._send(member, (number, piece))
            busy[self._connections[member]] = member

        for member in range(len(queues)):
            next_for(member)
        while busy:
            for ready in wait(list(busy)):
                member = next(member for connection, member in busy.items() if connection is ready)
                del busy[self._connections[member]]
                answer = self._answer(member)
                next_for(member)
                yield member, answer

    def _send(self, member: int, task: tuple[int, Any]) -> None:
        try:
            self._connections[member].send(task)
        except ConnectionError:
            raise self._ended(member) from None

    def _answer(self, member: int) -> Any:
        try:
            return self._connections[member].recv()
        except (EOFError, ConnectionError):
            raise self._ended(member) from None

    def _ended(self, member: int) -> WorkerError:
        self._processes[member].join()
        return WorkerError(f"a process ended with exit code {self._processes[member].exitcode}; try --jobs 1")

    def close(self) -> None:
        """End the processes, which are idle."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            process.join()

    def stop(self) -> None:
        """Terminate the processes, also in the middle of a task."""
        for process in self._processes:
            process.terminate()
        self.close()
