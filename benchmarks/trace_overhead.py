"""What the tracer adds to one collective, in microseconds.

`python benchmarks/trace_overhead.py`: the `fake` backend has no network, so what is left of a call is Python, the
dispatcher and we. Plain and traced processes take turns; the medians of their rounds are compared.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROUNDS = 5
JOB = """
import sys, time, statistics
import torch
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore
if sys.argv[1] != "plain":
    from pathlib import Path
    from collectivelint.runtime.hook import activate
    activate(Path(sys.argv[1]))
dist.init_process_group("fake", rank=0, world_size=8, store=FakeStore())
tensor = torch.ones(16)
for _ in range(2000):
    dist.all_reduce(tensor)
times = []
for _ in range(40):
    start = time.perf_counter()
    for _ in range(500):
        dist.all_reduce(tensor)
    times.append((time.perf_counter() - start) / 500 * 1e6)
if sys.argv[1] != "plain":
    from collectivelint.runtime import ring
    assert ring.load(Path(sys.argv[1])).ranks[0].events, "nothing was recorded"
print(statistics.median(times))
"""


def measure(mode: str) -> float:
    """Median time of one all_reduce in a fresh process, in microseconds."""
    out = subprocess.run(
        [sys.executable, "-c", JOB, mode],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return float(out.stdout.split()[-1])


def main() -> None:
    """Print each round and the medians."""
    plain, traced = [], []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            plain.append(measure("plain"))
            traced.append(measure(str(Path(folder) / str(number))))
            print(f"round {number + 1}: plain {plain[-1]:.2f} us, traced {traced[-1]:.2f} us")
    added = statistics.median(traced) - statistics.median(plain)
    print(
        f"median: plain {statistics.median(plain):.2f} us, traced {statistics.median(traced):.2f} us, added {added:.2f} us"
    )


if __name__ == "__main__":
    main()
