"""A launcher for the tests whose ranks have torch imported when they start.

Most of the time of a small job goes into importing torch, once in each rank. Here one process imports it and forks the
ranks of all jobs. `client.py` stands where torchrun stands in a command; the tracer's launcher beside it, the arming of the
tracer in each rank by the environment, and the script are the real ones. `test_forked.py` compares it with torchrun.

What it cannot show, and real torchrun jobs have to: that the tracer is armed before torch is imported, restarts, and
processes that hash strings differently.
"""

from __future__ import annotations

import atexit
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_HERE: Final = Path(__file__).parent
#: Ranks leave `serve`, so that no frame of it stands around those of the job.
_SERVER: Final = (
    "import sys; sys.path[0] = sys.argv.pop(1); import server\nrun = server.serve(sys.argv[1])\nrun and run()\n"
)


def launcher(ranks: int) -> list[str]:
    """What stands in front of a script, or `-m` and a module, as `torchrun --standalone --nproc-per-node RANKS` does."""
    return [sys.executable, "-S", str(_HERE / "client.py"), _server(), str(ranks)]


@functools.cache
def _server() -> str:
    """Start the server of this process, which ends with it; where it listens."""
    folder = tempfile.TemporaryDirectory(prefix="forked")
    address = os.path.join(folder.name, "server")
    # Unbuffered, as torchrun starts Python.
    process = subprocess.Popen(
        [sys.executable, "-u", "-c", _SERVER, str(_HERE), address],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder.name,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )

    def end() -> None:
        process.communicate()
        folder.cleanup()

    atexit.register(end)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return address
