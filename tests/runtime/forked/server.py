"""The process that has torch imported: it forks an agent for each job, and that the ranks. See `__init__.py`."""

from __future__ import annotations

import functools
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

#: What jobs import, and takes its time.
_MODULES: Final = (
    "torch",
    "torch.distributed",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "torch._dynamo",
)
#: Seconds; what torchrun gives ranks to leave, and how often they are looked at.
_GRACE: Final = 30.0
_POLL: Final = 0.02


def serve(address: str) -> Callable[[], object] | None:
    """Run jobs until stdin is closed. Returns in ranks too, with what they have to run."""
    for name in _MODULES:
        importlib.import_module(name)
    # Ranks would copy what a collection touches, and look through all of torch once more when they end.
    gc.collect()
    gc.freeze()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen(64)
        os.write(1, b"ready\n")
        while True:
            ready, _, _ = select.select([listener, 0], [], [])
            with suppress(ChildProcessError):
                while os.waitpid(-1, 0 if 0 in ready else os.WNOHANG)[0]:
                    pass
            if 0 in ready:
                return None
            client, _ = listener.accept()
            with client:
                if os.fork() == 0:
                    listener.close()
                    return _agent(client)


def _agent(client: socket.socket) -> Callable[[], object]:
    """Start the ranks of one job, wait for them, and end; returns in ranks only."""
    # What ends the tests must not end it before its ranks.
    os.setsid()
    server = os.getppid()
    size, fds, _, _ = socket.recv_fds(client, 4, 3)
    data = b""
    while len(data) < int.from_bytes(size, "big"):
        data += client.recv(1 << 20)
    request = json.loads(data)
    # They connect to a store that the agent has, as with torchrun. Its threads must not be there yet when ranks are forked.
    listener = socket.create_server(("127.0.0.1", 0))
    ranks = set()
    for rank in range(request["ranks"]):
        pid = os.fork()
        if pid == 0:
            port = listener.getsockname()[1]
            listener.close()
            client.close()
            return _rank(request, rank, port, fds)
        ranks.add(pid)
    _attend(client, listener, ranks, fds[2], server)
    os._exit(0)


def _rank(request: dict[str, Any], rank: int, port: int, fds: list[int]) -> Callable[[], object]:
    """Become a rank: what a process finds that torchrun has started, and what Python does when it starts."""
    os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(request["cwd"])
    world = str(request["ranks"])
    os.environ.clear()
    os.environ.update(request["environment"])
    os.environ |= {
        **{name: str(rank) for name in ("RANK", "LOCAL_RANK", "ROLE_RANK")},
        **dict.fromkeys(("WORLD_SIZE", "LOCAL_WORLD_SIZE", "ROLE_WORLD_SIZE"), world),
        "GROUP_RANK": "0",
        "GROUP_WORLD_SIZE": "1",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "TORCHELASTIC_RESTART_COUNT": "0",
        "TORCHELASTIC_MAX_RESTARTS": "0",
        "TORCHELASTIC_RUN_ID": str(port),
        "TORCHELASTIC_USE_AGENT_STORE": "True",
    }
    is_module = request["command"][0] == "-m"
    sys.argv = request["command"][is_module:]
    script = sys.argv[0]
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    sys.path[:1] = [os.getcwd() if is_module else os.path.dirname(os.path.abspath(script)), *paths]
    # As `site` does; this is what arms the tracer.
    sys.modules.pop("sitecustomize", None)
    with suppress(ModuleNotFoundError):
        importlib.import_module("sitecustomize")
    if is_module:
        return functools.partial(runpy.run_module, script, run_name="__main__", alter_sys=True)
    return functools.partial(runpy.run_path, script, run_name="__main__")


def _attend(client: socket.socket, listener: socket.socket, ranks: set[int], stderr: int, server: int) -> None:
    """Wait for the ranks; when one fails, the client wants it, or that or the server is gone, end them. Tell the exit code."""
    from torch.distributed import TCPStore

    port = listener.getsockname()[1]
    store = TCPStore("127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())
    inputs = [client]
    #: When those are killed that were told to end.
    deadline = None
    while ranks:
        told = bool(select.select(inputs, [], [], _POLL)[0])
        if told and not client.recv(1):
            inputs = []
        gone, status = os.waitpid(-1, os.WNOHANG)
        ranks.discard(gone)
        if deadline is None and (told or status != 0 or os.getppid() != server):
            deadline = time.monotonic() + _GRACE
            for pid in ranks:
                os.kill(pid, signal.SIGTERM)
                # Whoever would read it may be gone.
                with suppress(OSError):
                    os.write(stderr, f"Sending process {pid} closing signal SIGTERM\n".encode())
        elif deadline is not None and time.monotonic() > deadline:
            for pid in ranks:
                os.kill(pid, signal.SIGKILL)
    del store
    with suppress(OSError):
        client.send(bytes([deadline is not None]))
