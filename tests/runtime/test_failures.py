"""Whose failure an exception is: torch's words out of torch's own frames are another rank's, anything else is the program's."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from collectivelint.runtime.traces.model import Exit
from collectivelint.runtime.traces.reader import Reader
from collectivelint.runtime.traces.writer import Writer

torch = pytest.importorskip("torch")
dist: Any = pytest.importorskip("torch.distributed")

from collectivelint.runtime.inside import agent, failures  # noqa: E402
from collectivelint.runtime.inside.children import Children  # noqa: E402
from collectivelint.runtime.inside.sites import Sites  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

_TORCH = str(Path(torch.__file__).parent)
_FAILURES = failures.Failures(Sites(_TORCH), _TORCH)
_CLOSED = "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:41684."
_LATE = "[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:78] Timed out waiting 8000ms for recv"


def _inside_torch(error: BaseException, *names: str) -> BaseException:
    """The exception as if it had left C++ under a frame of that file of torch."""
    code = compile("raise error", str(Path(torch.__file__).parent.joinpath(*names)), "exec")
    try:
        exec(code, {"error": error})
    except BaseException as raised:
        return raised
    raise AssertionError


def _here(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as raised:
        return raised


def _from(cause: BaseException, error: BaseException) -> BaseException:
    error.__cause__ = cause
    return _here(error)


C10D = ("distributed", "distributed_c10d.py")
#: What was raised, and whose failure it is.
FAILURES: list[tuple[str, Callable[[], BaseException], str]] = [
    ("gloo, closed", lambda: _inside_torch(RuntimeError(_CLOSED), *C10D), "connection"),
    ("gloo, late", lambda: _inside_torch(RuntimeError(_LATE), *C10D), "timeout"),
    ("in the backward pass", lambda: _inside_torch(RuntimeError(_CLOSED), "autograd", "graph.py"), "connection"),
    ("NCCL", lambda: _here(dist.DistBackendError("NCCL error: ncclRemoteError: A call failed")), "connection"),
    ("NCCL, misused", lambda: _here(dist.DistBackendError("NCCL error: ncclInvalidUsage: Duplicate GPU detected")), "own"),
    ("a barrier of gloo", lambda: _inside_torch(RuntimeError("Rank 1 failed to pass monitoredBarrier in 9 ms"), *C10D), "timeout"),
    ("wrapped", lambda: _from(_inside_torch(RuntimeError(_CLOSED), *C10D), ValueError("training failed")), "connection"),
    ("the same words in the program", lambda: _here(RuntimeError(_CLOSED)), "own"),
    ("a worker of a loader", lambda: _inside_torch(RuntimeError("Timed out waiting"), "utils", "data", "dataloader.py"), "own"),
    ("a socket of the program's", lambda: _here(ConnectionResetError(104, "Connection reset by peer")), "own"),
    ("an error of the device", lambda: _inside_torch(RuntimeError("CUDA error: the launch timed out and was terminated"), "_tensor.py"), "own"),
    ("Ctrl-C", lambda: _inside_torch(KeyboardInterrupt(), *C10D), "interrupt"),
]  # fmt: skip


@pytest.mark.parametrize(("error", "failure"), [pytest.param(*case[1:], id=case[0]) for case in FAILURES])
def test_whose_failure_it_is(error: Callable[[], BaseException], failure: str) -> None:
    assert _FAILURES.failure(error()) == failure


def test_the_store_that_waits_too_long() -> None:
    """torch's own exception, raised straight out of C++ in a frame of the program."""
    from datetime import timedelta

    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    with pytest.raises(RuntimeError) as caught:
        store.wait(["never"], timedelta(milliseconds=10))
    assert _FAILURES.failure(caught.value) == "timeout"


def test_the_place_is_the_innermost_frame_of_the_program() -> None:
    error = _inside_torch(RuntimeError(_CLOSED), *C10D)
    found = failures.place(error.__traceback__, Sites(_TORCH))
    assert found is not None
    assert found["function"] == "_inside_torch"
    assert found["stack"][0].endswith('_inside_torch: exec(code, {"error": error})')


def test_an_exception_that_cannot_be_shown() -> None:
    class BrokenError(Exception):
        def __str__(self) -> str:
            raise ValueError

    assert failures.text(BrokenError()) == "BrokenError"


# ----------------------------------------------------------------------------------------------------------- agent


def _context(codes: dict[int, int | None]) -> Any:
    """A launcher's context, as torch's module has it, whose `close` ends the processes that are left."""

    class Process:
        def __init__(self, pid: int) -> None:
            self.pid = pid

        def poll(self) -> int | None:
            return codes[self.pid]

    class PContext:
        subprocess_handlers = {pid: type("Handler", (), {"proc": Process(pid)}) for pid in codes}  # noqa: RUF012

        def close(self, death_sig: Any = None, timeout: int = 30) -> None:
            codes.update({pid: -15 for pid, code in codes.items() if code is None})

    return type("module", (), {"PContext": PContext})


def test_exit_codes_are_written_once_beside_the_rings(tmp_path: Path) -> None:
    import os

    from collectivelint.runtime.traces import folders

    run = folders.create(tmp_path)
    writer = Writer(run, rank=0, world_size=2, attempt=0, started=1.0, host=os.uname().nodename)
    codes: dict[int, int | None] = {os.getpid(): None, os.getppid(): 0}
    module = _context(codes)
    agent.hook_close(Children(run), module)
    (ring,) = run.glob("*.ring")
    assert Reader(ring).whole().exit is None
    for death_sig in (signal.SIGTERM, signal.SIGKILL):
        module.PContext().close(death_sig, timeout=1)
    found = Reader(ring).whole().exit
    assert isinstance(found, Exit)
    assert (found.code, found.signal) == (-15, "SIGTERM")
    assert len(list(run.glob("*.exit"))) == 1
    writer.finish("finished")
    ring.with_suffix(".exit").write_text("[" * 10_000)
    assert Reader(ring).whole().exit is None


_PARENT = """
import pathlib, subprocess, sys
from collectivelint.runtime.inside.children import Children
run = pathlib.Path(sys.argv[1])
Children(run).hook_subprocess(subprocess)
child = '''
import os, pathlib, sys, time
from collectivelint.runtime.traces.writer import Writer
writer = Writer(pathlib.Path(sys.argv[1]), rank=int(sys.argv[2]), world_size=3, attempt=0, started=1.0, host=os.uname().nodename)
print(flush=True)
sys.argv[2] == "0" and os._exit(7)
time.sleep(60)
'''
ranks = [subprocess.Popen([sys.executable, "-c", child, run, str(rank)], stdout=subprocess.PIPE) for rank in range(3)]
for rank in ranks:
    rank.stdout.readline()
ranks[0].wait()
ranks[0].kill()
ranks[1].terminate()
ranks[1].wait()
ranks[2].kill()
while ranks[2].poll() is None:
    pass
"""


def test_exit_codes_of_ranks_that_a_script_starts(tmp_path: Path) -> None:
    from collectivelint.runtime.traces import folders

    run = folders.create(tmp_path)
    subprocess.run([sys.executable, "-c", _PARENT, run], cwd=tmp_path, check=True, timeout=60)
    found = [Reader(ring).whole().exit for ring in sorted(run.glob("*.ring"))]
    exits = [(item.code, item.signal) for item in found if item is not None]
    assert exits == [(7, ""), (-15, "SIGTERM"), (-9, "SIGKILL")]
