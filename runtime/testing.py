"""Running a function on several ranks under the tracer, for tests of one's own distributed code."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .beside.monitor import POLL, Monitor
from .traces import folders, jobs
from .traces.ring import TraceError
from .verdict import explain, matching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from .verdict.model import Divergence


class DivergenceError(AssertionError):
    """The ranks have diverged; the message is the report with both call sites."""


class RankError(RuntimeError):
    """A rank has raised, was killed, or took too long; the message has its traceback."""


def run_ranks(
    function: Callable[..., Any],
    ranks: int,
    args: Sequence[Any] = (),
    *,
    backend: str | None = "gloo",
    timeout: float = 120.0,
) -> list[Any]:
    """Call `function(*args)` in `ranks` new processes that form a process group; what each returned, by rank.

    The function has to be importable (no lambda, nothing nested), and its result to be picklable. `backend` is that of the
    default group, which is made before the call and destroyed behind it; with None that is left to the function, which
    finds RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT set. `timeout` is in seconds, for all of it.

    Raises DivergenceError as soon as the ranks have diverged, RankError if one of them raised or all took too long.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="collectivelint") as name:
        folder = Path(name)
        run = folders.create(folder / "trace")
        port = _free_port() if backend is None else 0
        pipes = [context.Pipe(duplex=False) for _ in range(ranks)]
        processes = [
            context.Process(target=_main, args=(function, tuple(args), rank, ranks, folder, run, backend, port, end))
            for rank, (_, end) in enumerate(pipes)
        ]
        for process in processes:
            process.start()
        for _, end in pipes:
            # Only the child's end is left, so that it is closed when the child is gone.
            end.close()
        received: dict[int, tuple[bool, Any]] = {}
        try:
            divergence = _watch(run, processes, [begin for begin, _ in pipes], received, timeout)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
                process.join()
        if divergence is None and len(received) == ranks:
            divergence = _afterwards(run)
        errors = [f"rank {rank}:\n{text}" for rank, (fine, text) in sorted(received.items()) if not fine]
        if divergence is not None:
            raise DivergenceError("\n".join([explain.text(divergence), *errors]))
        if errors:
            raise RankError("\n".join(errors))
        lost = [rank for rank in range(ranks) if rank not in received]
        if lost:
            codes = ", ".join(f"rank {rank} (exit code {processes[rank].exitcode})" for rank in lost)
            raise RankError(f"no result after {timeout:.0f} s, or killed: {codes}")
        return [received[rank][1] for rank in range(ranks)]


def _watch(
    folder: Path,
    processes: Sequence[Any],
    pipes: list[Connection],
    received: dict[int, tuple[bool, Any]],
    timeout: float,
) -> Divergence | None:
    """Collect results until there are no more, or a divergence, or no time."""
    monitor = Monitor(folder, timeout, lambda _: None)
    deadline = time.monotonic() + timeout
    open_ = dict(enumerate(pipes))
    while open_ and time.monotonic() < deadline:
        for rank, pipe in list(open_.items()):
            try:
                if pipe.poll():
                    received[rank] = pipe.recv()
                    del open_[rank]
            except EOFError:
                del open_[rank]
        found = monitor.look()
        if found is not None:
            return found
        if any(not fine for fine, _ in received.values()) and open_:
            # The others may wait for the rank that has raised; the monitor says so if they do.
            deadline = min(deadline, time.monotonic() + _GRACE)
        time.sleep(POLL / 2)
    for process in processes:
        process.join(_GRACE if not open_ else 0)
    return None


#: How long (in seconds) the other ranks may go on when one has raised, and a process may take to end.
_GRACE = 10.0


def _afterwards(folder: Path) -> Divergence | None:
    try:
        return matching.compare(jobs.load(folder), over=True)
    except TraceError:
        # The function has made no process group.
        return None


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _main(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    rank: int,
    ranks: int,
    folder: Path,
    run: Path,
    backend: str | None,
    port: int,
    pipe: Connection,
) -> None:
    """What each process does."""
    from .activate import activate

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(ranks)}
    if backend is None:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        activate(run)
        import torch.distributed as dist

        if backend is not None:
            dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=rank, world_size=ranks)
        result = function(*args)
        pipe.send((True, result))
        if backend is not None and dist.is_initialized():
            dist.destroy_process_group()
    except BaseException:
        pipe.send((False, traceback.format_exc()))
        raise
