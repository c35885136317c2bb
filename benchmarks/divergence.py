"""What torch and the tracer say of jobs whose ranks diverge, and when: writes the table of benchmarks/divergence.md.

`python benchmarks/divergence.py [--only NAME] [--modes plain,detail,tracer] > table`. Each job of tests/jobs runs with gloo
and a process-group timeout of 60 s: plain, with TORCH_DISTRIBUTED_DEBUG=DETAIL, and under `collectivelint trace`. Times are
seconds from the moment at which the last rank has begun the part that diverges to the first line that says so.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

JOBS: Final = Path(__file__).parent.parent / "tests" / "jobs"
TIMEOUT: Final = 60
LONGEST: Final = TIMEOUT + 25

#: What diverges, the job, its ranks.
SCENARIOS: Final = [
    ("another operation", "operation", 3),
    ("all_reduce meets reduce", "allreduce_reduce", 3),
    ("reduce meets barrier", "reduce_barrier", 3),
    ("broadcast meets all_gather", "broadcast_allgather", 3),
    ("all_gather_into_tensor meets reduce_scatter_tensor", "gather_scatter_base", 3),
    ("a barrier that one rank leaves out", "skipped", 3),
    ("another shape", "shape", 3),
    ("another number of dimensions", "dimensions", 3),
    ("another shape in scatter", "scatter_shape", 3),
    ("another dtype", "dtype", 3),
    ("another reduce operation", "reduce_op", 3),
    ("another reduce operation, long ago", "silent", 3),
    ("another root", "root", 3),
    ("other split sizes", "splits", 3),
    ("barrier of the default group, a distillation rank outside", "outsider", 4),
    ("a call by a rank that is not in the group", "not_a_member", 3),
    ("new_group by its members alone", "subset_group", 3),
    ("new_group in different order", "group_order", 3),
    ("an exception on one rank", "exception", 3),
    ("one rank leaves early", "early_exit", 3),
    ("one rank leaves before DDP's backward pass", "backward", 3),
    ("one more turn of a loop", "loop_count", 3),
    ("send meets send", "send_send", 2),
    ("recv meets recv", "recv_recv", 2),
    ("two groups in crossing order", "crossing", 3),
    ("a collective in one rank's signal handler", "signal_handler", 3),
    ("a rank is killed", "killed", 3),
]
CORRECT: Final = [
    ("a rank is stopped for 20 s and goes on", "stopped", 3),
    ("uneven work for two minutes", "uneven_minutes", 3),
    ("uneven sizes in all_gather and all_to_all", "uneven_all_gather", 3),
    ("two threads, two groups", "threads", 2),
    ("a pipeline", "pipeline", 4),
    ("DDP, async_save", "ddp", 2),
    ("a mesh of two dimensions", "mesh_2d", 4),
]
MODES: Final = ("plain", "detail", "tracer")
_SAID: Final = {
    "tracer": re.compile(r"^(DEADLOCK|MISMATCH|TIMEOUT|GROUP ORDER|UNMATCHED|OUTSIDER)"),
    "plain": re.compile(r"(\w*Error|signal|SIG[A-Z]+|terminate called)[:( ]"),
    "detail": re.compile(r"(\w*Error|signal|SIG[A-Z]+|terminate called)[:( ]"),
}
#: Lines of the launcher, which say that something has ended but not what.
_LAUNCHER: Final = re.compile(r"torch/distributed/elastic|ChildFailedError|^\s*(raise|File) ")


@dataclass
class Ran:
    """How a job ended: exit code (None: it had to be killed), what was said first, after how many seconds."""

    code: int | None
    said: str
    after: float | None
    seconds: float


def end(process: subprocess.Popen[str], folder: Path) -> None:
    """End a job that hangs: the launcher, and its workers, which have sessions of their own."""
    os.killpg(process.pid, signal.SIGKILL)
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue


def run(script: str, name: str, ranks: int, mode: str, folder: Path) -> Ran:
    """Run one job in one mode."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    command = [*torchrun, str(JOBS / script), name, str(folder)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "TIMEOUT": str(TIMEOUT),
        "STARTED": "1",
        "SECONDS_STOPPED": "20",
    }
    if mode == "detail":
        environment["TORCH_DISTRIBUTED_DEBUG"] = "DETAIL"
    if mode == "tracer":
        command = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder / "trace"), "--", *command]
    begun = time.time()
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    started = begun
    said, after = "", None
    timer = threading.Timer(LONGEST if script == "scenarios.py" else 200, end, (process, folder))
    timer.start()
    assert process.stderr is not None
    for line in process.stderr:
        if " starts at " in line:
            started = float(line.split()[-1])
        elif after is None and _SAID[mode].search(line) and not _LAUNCHER.search(line):
            said, after = line.strip(), time.time() - started
    code: int | None = process.wait()
    timer.cancel()
    return Ran(None if code == -signal.SIGKILL else code, said, after, time.time() - started)


def shown(ran: Ran) -> str:
    """A cell of the table."""
    text = re.sub(r"^\[rank\d+\]:? ?", "", ran.said).replace("|", "\\|")
    text = re.sub(r"\[/\S*/third_party/gloo/\S*/(?=\w+\.cc)", "[gloo/", text)
    text = text if len(text) <= 110 else text[:107] + "..."
    if ran.code is None:
        return f"hangs{f'; {text}' if text else ''}"
    if not ran.said:
        return "nothing" if ran.code == 0 else f"exit code {ran.code} after {ran.seconds:.1f} s, no reason"
    return f"{ran.after:.1f} s: `{text}`"


def main() -> None:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--modes", default=",".join(MODES))
    options = parser.parse_args()
    modes = options.modes.split(",")
    for title, script, rows in (("diverges", "scenarios.py", SCENARIOS), ("is correct", "healthy.py", CORRECT)):
        print(f"\n| {title} | {' | '.join(modes)} |\n|---|{'---|' * len(modes)}", flush=True)
        for what, name, ranks in rows:
            if options.only not in name:
                continue
            cells = []
            for mode in modes:
                with tempfile.TemporaryDirectory() as folder:
                    job = "scenarios.py" if name == "uneven_all_gather" else script
                    cells.append(shown(run(job, name, ranks, mode, Path(folder))))
            print(f"| {what} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
