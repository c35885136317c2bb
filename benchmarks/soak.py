"""A correct job for a long time under the tracer: no alarm, and memory that does not grow.

`make soak` (two minutes) or `make soak SECONDS=3600`. Ranks do uneven work, create and destroy groups, leave handles
open for a while, save in a thread, and one of them is stopped for 20 s now and then.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOB = Path(__file__).parent.parent / "tests" / "jobs" / "soak.py"


def memory(pid: int) -> float:
    """Resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def main() -> None:
    """Run the job and watch the launcher's and the ranks' memory."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    with tempfile.TemporaryDirectory() as folder:
        torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
        launcher = [
            sys.executable,
            "-m",
            "collectivelint",
            "trace",
            "--out-dir",
            f"{folder}/trace",
            "--hint-after",
            "10",
        ]
        process = subprocess.Popen(
            [*launcher, "--", *torchrun, str(JOB.resolve()), str(seconds), folder],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            cwd=folder,
        )
        begun = time.monotonic()
        samples: list[tuple[float, float, float]] = []
        while process.poll() is None:
            time.sleep(1)
            ranks = [int(name.stem.rpartition("-")[2]) for name in Path(folder, "trace").glob("*/*.ring")]
            try:
                own, theirs = memory(process.pid), sum(map(memory, ranks)) / max(1, len(ranks))
            except OSError:
                continue
            if len(ranks) == 3:
                samples.append((time.monotonic() - begun, own, theirs))
        from collectivelint.runtime.traces import folders, jobs

        run = folders.newest(Path(folder, "trace"))
        trace = jobs.load(run)
        calls = sum(rank.lost + len(rank.events) for rank in trace.ranks.values())
        alarm = (run / "divergence.json").exists()
    third = len(samples) // 3
    early, late = samples[third : third + 5], samples[-10:-5]

    def mean(rows: list[tuple[float, float, float]], column: int) -> float:
        return sum(row[column] for row in rows) / max(1, len(rows))

    print(f"{calls} calls in {seconds:.0f} s, exit code {process.returncode}, {'AN ALARM' if alarm else 'no alarm'}")
    for name, column in (("launcher", 1), ("a rank", 2)):
        print(f"memory of {name}: {mean(early, column):.1f} MB after a third, {mean(late, column):.1f} MB at the end")
    sys.exit(int(alarm or process.returncode != 0))


if __name__ == "__main__":
    main()
