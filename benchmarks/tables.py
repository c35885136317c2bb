"""What tables, their analysis and Perfetto's format cost, by ranks and calls: `python benchmarks/tables.py --ranks 100 --calls 100000`.

The rings are made up: ranks of hosts of 8, whose clocks differ, call all_reduce on their host, on their position on all hosts and
on all ranks, a step after the other; rank 7 comes late to each call of all ranks. They are as long as their calls, where the rings
of a job have 4 MiB each. Every step is a process of its own; its time, that of the processors, its peak memory and the size of what it wrote are printed.
With `--spark local[2]` the analysis runs there too: memory and processors are those of the Python process, not of Java's.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
from collectivelint.runtime.traces import writer as writing
from collectivelint.runtime.traces.model import State
from collectivelint.runtime.traces.ring import ENDED, ENDS, RECORD, RECORDS_AT

PER_HOST = 8
#: A record as ring.py describes it.
FIELDS = np.dtype(
    [
        ("number", "<u8"), ("group", "<u4"), ("sequence", "<u4"), ("signature", "<u4"), ("place", "<u4"),
        ("peer", "<i4"), ("kind", "u1"), ("state", "u1"), ("is_async", "u1"), ("pad", "u1"), ("start", "<f8"),
        ("end", "<f8"), ("thread", "<u4"), ("argument", "<u4"), ("checksum", "<u4"), ("end_pad", "V4"),
    ]
)  # fmt: skip
assert FIELDS.itemsize == RECORD.size
#: A step of the analysis in a process of its own.
STEPS = {
    "parquet": "from collectivelint.runtime.afterwards.tables import parquet; parquet.write(found, out, [])",
    "perfetto": "from collectivelint.runtime.afterwards import perfetto; perfetto.write(found, jobs.names(found), out, [])",
}
READ = (
    "import sys, pathlib; from collectivelint.runtime.traces import jobs; folder, out = map(pathlib.Path, sys.argv[1:]);"
    "found = jobs.read(folder, []); "
)


def times(ranks: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """When each rank begins and ends the three calls of each step, by its host's clock: two arrays (ranks, steps, 3)."""
    random = np.random.default_rng(1)
    start = np.empty((ranks, steps, 3))
    end = np.empty_like(start)
    now = np.zeros(ranks)
    for step in range(steps):
        for call, shape in enumerate(((-1, PER_HOST, 1), (-1, PER_HOST, 0), (1, ranks, 1))):
            now += random.uniform(0.001, 0.002, ranks)
            if call == 2:
                now[7] += 0.02
            start[:, step, call] = now
            together = now.reshape(shape[:2])
            now = np.broadcast_to(together.max(axis=shape[2], keepdims=True), together.shape).reshape(ranks) + 0.0005
            end[:, step, call] = now
    clocks = 1.8e9 + np.repeat(random.uniform(0, 1, ranks // PER_HOST), PER_HOST)[:, None, None]
    return start + clocks, end + clocks


def rings(folder: Path, ranks: int, calls: int) -> None:
    """Write the rings of a job."""
    steps = calls // ranks // 3
    start, end = times(ranks, steps)
    writing.CAPACITY = steps * 3
    everything = json.dumps(list(range(ranks)))
    for rank in range(ranks):
        host, position = divmod(rank, PER_HOST)
        ring = writing.Writer(
            folder,
            rank=rank,
            world_size=ranks,
            attempt=0,
            started=1.8e9,
            host=f"host{host}",
            local=PER_HOST,
            job="store",
        )
        members = (
            [*range(host * PER_HOST, (host + 1) * PER_HOST)], [*range(position, ranks, PER_HOST)], json.loads(everything),
        )  # fmt: skip
        groups = [
            ring.name("group", {"ranks": some, "ordinal": 0, "description": description})
            for some, description in zip(members, ("host", "position", "default_pg"), strict=True)
        ]
        places = [
            ring.name(
                "place", {"path": "train.py", "line": line, "function": "step", "stack": [f"train.py:{line} step: x"]}
            )
            for line in (118, 124, 130)
        ]
        signature = ring.name(
            "signature", {"op": "all_reduce", "reduce_op": "SUM", "tensors": [[[1024], "torch.float32"]]}
        )
        records = np.zeros((steps, 3), FIELDS)
        records["number"] = np.arange(1, steps * 3 + 1).reshape(steps, 3)
        records["sequence"] = np.arange(1, steps + 1)[:, None]
        records["signature"], records["peer"], records["state"] = signature, -1, State.DONE
        for call, (group, place) in enumerate(zip(groups, places, strict=True)):
            records["group"][:, call], records["place"][:, call] = group, place
            stream = ring.stream({"group": group, "kind": "collective", "op": "", "peer": -1, "tag": 0})
            ring.recount(stream, steps, 7)
        records["start"], records["end"] = start[rank], end[rank]
        ring._map[RECORDS_AT:] = records.tobytes()
        ring._words[writing._WRITTEN] = steps * 3
        ring._map[ENDED] = ENDS.index("finished").to_bytes(4, "little")


def measured(command: list[str], limit: float) -> tuple[float, float, float, int | None]:
    """Seconds, those of them of processors, peak megabytes and exit code; None where it was ended because of the limit."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True) as process:
        ended = threading.Event()

        def end() -> None:
            if not ended.wait(limit):
                os.killpg(process.pid, signal.SIGKILL)

        watch = threading.Thread(target=end)
        watch.start()
        _, status, used = os.wait4(process.pid, 0)
        ended.set()
        watch.join()
        process.returncode = os.waitstatus_to_exitcode(status)
    code = None if process.returncode == -signal.SIGKILL else process.returncode
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, code


def size(path: Path) -> float:
    """Megabytes."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()) / 1e6


def main() -> None:
    """Make rings, and measure each step."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", type=int, default=100)
    parser.add_argument("--calls", type=int, default=100_000)
    parser.add_argument("--limit", type=float, default=600, help="seconds a step may take")
    parser.add_argument("--spark", help="local[2], say")
    parser.add_argument("--folder", type=Path, default=Path(".bench-tables"), help="is made, and removed afterwards")
    parser.add_argument("--only", nargs="*", default=["parquet", "perfetto", "report", "html", "duckdb"])
    options = parser.parse_args()
    ranks = -(-options.ranks // PER_HOST) * PER_HOST
    options.folder.mkdir()
    run, tables, trace, page = (options.folder / name for name in ("run", "tables", "run.perfetto-trace", "run.html"))
    began = time.perf_counter()
    try:
        if os.fork() == 0:
            rings(run, ranks, options.calls)
            os._exit(0)
        os.wait()
        made = time.perf_counter() - began
        print(f"{ranks} ranks, {options.calls} calls: rings {size(run):.0f} MB, made in {made:.0f} s", flush=True)
        report = [sys.executable, "-m", "collectivelint", "report"]
        commands = {
            "parquet": ([sys.executable, "-c", READ + STEPS["parquet"], str(run), str(tables)], tables),
            "perfetto": ([sys.executable, "-c", READ + STEPS["perfetto"], str(run), str(trace)], trace),
            "report": ([*report, str(run)], None),
            "html": ([*report, str(run), "--html", str(page)], page),
            "duckdb": ([*report, str(tables)], None),
            "spark": ([*report, str(tables), "--engine", options.spark or ""], None),
        }
        for name in [*options.only, *["spark"] * bool(options.spark)]:
            command, out = commands[name]
            seconds, busy, peak, code = measured(command, options.limit)
            wrote = f", {size(out):.0f} MB" if out is not None and out.exists() else ""
            ended = (
                ""
                if code == 0
                else f" (ended at the limit of {options.limit:.0f} s)"
                if code is None
                else f" (exit code {code})"
            )
            print(
                f"  {name}: {seconds:.0f} s, {busy:.0f} s of processors, {peak:.0f} MB of memory{wrote}{ended}",
                flush=True,
            )
    finally:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
