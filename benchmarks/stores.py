"""Verifying in a store and on a cluster: `make bench-stores`, the figures of benchmarks/audit.md.

python benchmarks/stores.py s3       verify against the same client that only reads; requests, memory
python benchmarks/stores.py engine   verify alone, and by 1, 2 and 4 tasks of Spark
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEGABYTES = int(os.environ.get("MEGABYTES", "512"))
TURNS = int(os.environ.get("TURNS", "5"))


def made(folder: Path, megabytes: int) -> Path:
    """Chunks of 16 MB in files of about 32 MB: the server reads all of a file for each range of it."""
    import torch
    import torch.distributed.checkpoint as dcp

    state = {f"layers.{n}.weight": torch.randn(4 << 20) for n in range(megabytes // 16)}
    writer = dcp.FileSystemWriter(folder, single_file_per_rank=True, thread_count=max(1, megabytes // 32))
    dcp.save(state, storage_writer=writer, no_dist=True)
    return folder


@contextmanager
def served() -> Iterator[list[str]]:
    """Its log: moto's server in a process of its own on this machine, or what AWS_ENDPOINT_URL names, whose log is not known."""
    if "AWS_ENDPOINT_URL" in os.environ:
        yield []
        return
    code = "from moto.server import main; main(['-H', '127.0.0.1', '-p', '0'])"
    server = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stderr is not None
        url = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
        requests: list[str] = []
        threading.Thread(target=lambda: requests.extend(server.stderr or ()), daemon=True).start()
        os.environ |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        yield requests
    finally:
        server.kill()
        server.wait()


def s3(folder: Path) -> None:
    """Verify, and the same client that only reads, by turns: by the clock, and by the processor time of this process."""
    import fsspec
    from collectivelint.runtime.checkpoint.audit import Wanted, audit, opened
    from collectivelint.runtime.checkpoint.stores.path import path_of

    with served() as requests:
        fs = fsspec.filesystem("s3")
        if not fs.exists("bench"):
            fs.mkdir("bench")
        fs.put(f"{made(folder / 'large', MEGABYTES)}/", "bench/large/", recursive=True)
        address = path_of("s3://bench/large")

        def verifying() -> None:
            report = audit(address, Wanted())
            assert report.is_sound, report.problems

        def reading() -> None:
            """The same ranges by the same client, as many at a time, and nothing done with them."""
            with opened(address) as (side, _), ThreadPoolExecutor(4) as pool:
                storages = [values.storage for values in side.values.values()]
                storages.sort(key=lambda piece: (piece.file, piece.offset))
                assert sum(pool.map(lambda piece: sum(map(len, side.files.blocks(piece))), storages))

        rows: dict[str, list[tuple[float, float]]] = {"verify": [], "the same client reading": []}
        for turn in range(2 * TURNS):
            name, function = (("verify", verifying), ("the same client reading", reading))[(turn + turn // 2) % 2]
            begun, used = time.perf_counter(), time.process_time()
            function()
            rows[name].append((time.perf_counter() - begun, time.process_time() - used))
        print(
            f"\n{MEGABYTES} MB, {os.cpu_count()} CPU with the server, medians of {TURNS}\n\n| | MB/s | processor time (s) |\n|---|---|---|"
        )
        for name, values in rows.items():
            speeds = [MEGABYTES * 1.048576 / seconds for seconds, _ in values]
            shown = f"{statistics.median(speeds):.0f} ({min(speeds):.0f} to {max(speeds):.0f})"
            print(f"| {name} | {shown} | {statistics.median(used for _, used in values):.2f} |")
        before = len(requests)
        begun = time.perf_counter()
        report = audit(address, Wanted(headers_only=True))
        took = time.perf_counter() - begun
        time.sleep(0.5)
        asked = f"{len(requests) - before}" if requests else "?"
        print(f"| headers of {report.chunks} chunks | {took:.2f} s, {asked} requests |")
        peaks = [peak("s3://bench/large", how) for how in ("whole", "headers")]
        print(
            f"| peak memory of verify, beyond that of `--headers` | {peaks[0] - peaks[1]:.0f} MB ({peaks[0]:.0f} in all) |"
        )


def peak(address: str, how: str) -> float:
    """Of a process of its own, in MB."""
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from collectivelint.runtime.checkpoint.audit import Wanted, audit\n"
        "from collectivelint.runtime.checkpoint.stores.path import path_of\n"
        "assert audit(path_of(sys.argv[1]), Wanted(headers_only=sys.argv[2] == 'headers')).is_sound\n"
        "line = next(x for x in Path('/proc/self/status').read_text().splitlines() if x.startswith('VmHWM'))\n"
        "print(int(line.split()[1]) / 1024)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code, address, how], capture_output=True, text=True, check=True)
    return float(ran.stdout)


def engine(folder: Path) -> None:
    """The same checkpoint by this process, and by one, two and four processes of Spark; what starting it takes is separate."""
    from collectivelint.runtime.checkpoint.audit import Wanted, audit
    from collectivelint.runtime.checkpoint.cluster import connected

    target = made(folder / "large", MEGABYTES)
    print(f"\n{MEGABYTES} MB here, {os.cpu_count()} CPU, medians of {TURNS}\n\n| | s | start (s) |\n|---|---|---|")
    times = []
    for _ in range(TURNS):
        begun = time.perf_counter()
        assert audit(target, Wanted()).is_sound
        times.append(time.perf_counter() - begun)
    print(f"| without | {statistics.median(times):.2f} | |")
    for tasks in (1, 2, 4):
        begun = time.perf_counter()
        with connected(f"local[{tasks}]") as spark:
            # The first one starts the processes of Python.
            assert audit(target, Wanted(headers_only=True, engine=spark)).is_sound
            start = time.perf_counter() - begun
            times = []
            for _ in range(TURNS):
                begun = time.perf_counter()
                assert audit(target, Wanted(engine=spark)).is_sound
                times.append(time.perf_counter() - begun)
        print(f"| local[{tasks}] | {statistics.median(times):.2f} | {start:.1f} |", flush=True)


def main() -> None:
    """Run what is named, or everything."""
    parts = {"s3": s3, "engine": engine}
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory() as folder:
            parts[name](Path(folder))


if __name__ == "__main__":
    main()
