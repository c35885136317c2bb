"""Running a function on several ranks under the tracer, for tests of your own distributed code."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .beside.monitor import POLL, Monitor
from .quantities import ranks_text
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
    check_data: bool = False,
) -> list[Any]:
    """Call `function(*args)` in `ranks` new processes that form a process group; returns the results by rank.

    The function must be importable (not a lambda or nested function), and its result picklable. `backend` is that of
    the default group, which is created before the call and destroyed after it; with None the function creates it itself
    from RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT, which are set. `timeout` is in seconds, for the
    whole call. `check_data`: also compare which parameters the ranks pass to a call, and a checksum of results that
    must be equal.

    Raises DivergenceError as soon as the ranks have diverged, including when a rank died and others wait for it;
    RankError if a rank raised, died or took too long. Both report the exit code or signal of a rank that died.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory(prefix="collectivelint") as name:
        folder = Path(name)
        run = folders.create(folder / "trace")
        port = _free_port() if backend is None else 0
        pipes = [context.Pipe(duplex=False) for _ in range(ranks)]
        processes = [
            context.Process(
                target=_main, args=(function, tuple(args), rank, ranks, folder, run, backend, port, end, check_data)
            )
            for rank, (_, end) in enumerate(pipes)
        ]
        for process in processes:
            process.start()
        for _, end in pipes:
            # Only the child's end is left, so that it is closed when the child is gone.
            end.close()
        received: dict[int, tuple[bool, Any]] = {}
        died: dict[int, int] = {}
        try:
            divergence = _watch(run, processes, [begin for begin, _ in pipes], received, died, timeout)
        finally:
            for process in processes:
                if process.is_alive():
                    process.kill()
                process.join()
        if divergence is None and len(received) + len(died) == ranks:
            divergence = _afterwards(run)
        errors = [f"rank {rank} {ended(code)} and returned no result" for rank, code in sorted(died.items())]
        errors += [f"rank {rank}:\n{text}" for rank, (fine, text) in sorted(received.items()) if not fine]
        if divergence is not None:
            raise DivergenceError("\n".join([explain.text(divergence), *errors]))
        late = sorted(set(range(ranks)) - received.keys() - died.keys())
        if late:
            waited = f"the {_GRACE:.0f} s after that" if errors else f"{timeout:.0f} s"
            errors.append(f"{ranks_text(late)} returned no result in {waited}")
        if errors:
            raise RankError("\n".join(errors))
        return [received[rank][1] for rank in range(ranks)]


def _watch(
    folder: Path,
    processes: Sequence[Any],
    pipes: list[Connection],
    received: dict[int, tuple[bool, Any]],
    died: dict[int, int],
    timeout: float,
) -> Divergence | None:
    """Collect results, or exit codes of ranks without one, until all have ended, ranks diverge or time is up."""
    monitor = Monitor(folder, timeout, lambda _: None, launcher_grace=_LAUNCHER_GRACE)
    deadline = time.monotonic() + timeout
    open_ = dict(enumerate(pipes))
    has_failed = False
    while open_ and time.monotonic() < deadline:
        for rank, pipe in list(open_.items()):
            try:
                if pipe.poll():
                    received[rank] = pipe.recv()
                    del open_[rank]
            except EOFError:
                # The process has closed it by ending, and may not be gone yet.
                processes[rank].join(_GRACE)
                died[rank] = processes[rank].exitcode
                del open_[rank]
        found = monitor.look()
        if found is not None:
            return found
        if not has_failed and open_ and (died or any(not fine for fine, _ in received.values())):
            # The others may wait for the rank that has failed; the monitor says so if they do.
            has_failed = True
            deadline = min(deadline, time.monotonic() + _GRACE)
        time.sleep(POLL / 2)
    for process in processes:
        process.join(_GRACE if not open_ else 0)
    return None


#: How long (in seconds) the other ranks may go on when one has failed, and a process may take to end.
_GRACE: Final = 10.0
#: How long they may wait for it in a collective: nothing starts it again.
_LAUNCHER_GRACE: Final = 1.0


def ended(code: int | None) -> str:
    """`exited with code 3`, `was killed by SIGKILL (exit code -9)`."""
    if code is not None and code < 0:
        try:
            return f"was killed by {signal.Signals(-code).name} (exit code {code})"
        except ValueError:
            pass
    return f"exited with code {code}"


def _afterwards(folder: Path) -> Divergence | None:
    """The first divergence of any job of a run that has ended."""
    unreadable: list[str] = []
    try:
        found = jobs.read(folder, unreadable)
    except TraceError:
        # The function has made no process group.
        return None
    traces = (job.trace(unreadable) for job in found)
    return next((seen for trace in traces if (seen := matching.compare(trace, over=True)) is not None), None)


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
    check_data: bool,
) -> None:
    """The main function of each process: run the function and send its result to the parent."""
    from .activate import activate

    os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(ranks)}
    if backend is None:
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        activate(run, check_data=check_data)
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
