"""Ranks on their way into the default group: `joining.py [agrees|dies|sleeps|late|full|lasts|apart] [FOLDER]`."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

RANK, WHAT = os.environ["RANK"], sys.argv[1]
FOLDER = Path(sys.argv[2] if len(sys.argv) > 2 else ".")


def wait_for(name: str) -> None:
    deadline = time.monotonic() + 60
    while not (FOLDER / name).exists() and time.monotonic() < deadline:
        time.sleep(0.1)


if RANK == "1":
    if WHAT == "dies":
        sys.exit(3)
    if WHAT == "sleeps":
        wait_for("noted")
        os._exit(0)
    if WHAT == "late":
        # A command that a rank runs inherits its RANK.
        subprocess.run([sys.executable, "-c", "import torch.distributed"], check=True)
        wait_for("noted")
    if WHAT == "full":
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

from datetime import timedelta  # noqa: E402

import torch  # noqa: E402
import torch.distributed as dist  # noqa: E402

if WHAT in ("sleeps", "apart"):
    threading.Thread(target=lambda: (wait_for("noted"), os._exit(0))).start()
# Each waits for the other in a store of its own.
STORE = (
    {"init_method": f"file://{FOLDER.resolve()}/store{RANK}", "rank": int(RANK), "world_size": 2}
    if WHAT == "apart"
    else {}
)
try:
    dist.init_process_group("gloo", timeout=timedelta(seconds=2 if WHAT == "dies" else 60), **STORE)
except dist.DistError:
    # The exit code is not what tells.
    sys.exit(0)
if WHAT == "lasts":
    (FOLDER / f"in-{RANK}").touch()
    wait_for("noted")
dist.all_reduce(torch.ones(1))
dist.destroy_process_group()
