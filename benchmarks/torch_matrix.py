"""Does the tracer work with each version of torch, and the auditor with its checkpoints?

`make test-matrix`, or `python benchmarks/torch_matrix.py [VERSION...]`. For each version: a new environment in a temporary folder
(pip's ordinary torch, some gigabytes), what the tracer says that it lacks, then jobs of two ranks with gloo (tests/jobs/matrix.py): a
correct one in which every marked call has to be recorded and whose checkpoint has to be sound, one that diverges, one that hangs. One
environment at a time, which is removed. Versions are tried with one Python after another, of those that are installed.
Exit code 1 if something failed. A version that cannot be installed here is said to be so.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Final

VERSIONS: Final = ("2.4.*", "2.7.*", "2.9.*", "2.13.*", "2.14.*", "")
#: Pythons that every version has been built for.
PYTHONS: Final = ("python3.11", "python3.12", "python3.10")
ROOT: Final = Path(__file__).parents[1]
JOB: Final = ROOT / "tests" / "jobs" / "matrix.py"
_MARK: Final = re.compile(r"# traced: ([\w, ]+?)(?: from ([\d.]+))?$")


@dataclass
class Row:
    """What was seen with one version."""

    torch: str
    python: str
    seconds: float = 0.0
    without: str = ""
    failures: list[str] = field(default_factory=list)


def main() -> int:
    """Try all versions, and print the table."""
    asked = sys.argv[1:] or VERSIONS
    pythons = cycle(list(filter(runs, PYTHONS)) or [sys.executable])
    rows: list[Row] = []
    for version in asked:
        python = next(pythons)
        with tempfile.TemporaryDirectory(prefix="torch-matrix") as folder:
            row = tried(version, python, Path(folder))
        if row.torch not in [other.torch for other in rows]:
            rows.append(row)
            print(line(row), flush=True)
    print("\n| torch | Python | traced without | jobs | seconds |\n|---|---|---|---|---|")
    for row in rows:
        print(line(row))
    return int(any(row.failures for row in rows))


def runs(python: str) -> bool:
    """Whether there is such a Python; a shim of that name may only say where one would be."""
    return shutil.which(python) is not None and subprocess.run([python, "-V"], capture_output=True).returncode == 0


def line(row: Row) -> str:
    """A row of the table."""
    told = "; ".join(row.failures) or "all as expected"
    return f"| {row.torch} | {row.python} | {row.without or '-'} | {told} | {row.seconds:.0f} |"


def tried(version: str, python: str, folder: Path) -> Row:
    """One version in an environment of its own."""
    begun = time.monotonic()
    row = Row(version or "newest", "")
    pip = [str(folder / "venv" / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir"]
    requirement = f"torch=={version}" if version else "torch"
    subprocess.run([python, "-m", "venv", str(folder / "venv")], check=True)
    # From a copy, so that nothing is left behind in the checkout.
    source = folder / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "*.egg-info", "build", "__pycache__"))
    made = subprocess.run(
        [*pip, "--upgrade", requirement, "numpy", "psutil", "zlib-ng", str(source)], capture_output=True, text=True
    )
    if made.returncode:
        row.failures.append("not installed: " + (made.stderr.strip().splitlines() or ["no reason given"])[-1])
        return row
    bin_ = folder / "venv" / "bin"
    about = "import platform, torch; print(torch.__version__, platform.python_version())"
    named = run([str(bin_ / "python"), "-c", about], folder)
    if named.returncode:
        row.failures.append("import torch: " + named.stderr.strip().splitlines()[-1])
        return row
    row.torch, row.python = named.stdout.split()[-2:]
    correct(row, bin_, folder)
    diverges(row, bin_, folder, "operation", "MISMATCH")
    diverges(row, bin_, folder, "deadlock", "DEADLOCK")
    row.seconds = time.monotonic() - begun
    return row


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """A command to its end, which five minutes are enough for."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    try:
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", "took more than five minutes")


def traced(bin_: Path, folder: Path, scenario: str) -> subprocess.CompletedProcess[str]:
    """A job of two ranks under the tracer."""
    torchrun = [str(bin_ / "python"), "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    launcher = [str(bin_ / "collectivelint"), "trace", "--out-dir", str(folder / scenario), "--"]
    return run([*launcher, *torchrun, str(JOB), scenario, str(folder / "checkpoint")], folder)


def correct(row: Row, bin_: Path, folder: Path) -> None:
    """The job that uses everything: it ends well, all of it is recorded, and its checkpoint is whole."""
    job = traced(bin_, folder, "correct")
    without = re.search(r"traced without: (.*)", job.stderr)
    row.without = without[1] if without else ""
    if job.returncode or "no divergence in" not in job.stderr:
        row.failures.append(f"correct job: exit code {job.returncode}: {(job.stderr.splitlines() or [''])[-1]}")
        return
    if "untraced" in job.stderr or "could not be recorded" in job.stderr or "not audited" in job.stderr:
        row.failures.append(
            "correct job: " + next(text for text in job.stderr.splitlines() if "collectivelint" in text)
        )
    report = run([str(bin_ / "collectivelint"), "report", "--output-format", "json", str(folder / "correct")], folder)
    calls = {
        (call["op"], int(call["site"].rpartition(":")[2]))
        for job in json.loads(report.stdout)["jobs"]
        for call in job["calls"]
    }
    for number, text in enumerate(JOB.read_text().splitlines(), 1):
        mark = _MARK.search(text)
        if mark is not None and release(row.torch) >= release(mark[2] or "0"):
            missing = [op for op in mark[1].split(", ") if (op, number) not in calls]
            row.failures.extend(f"{op} at line {number} is not recorded" for op in missing)
    audit = run([str(bin_ / "collectivelint"), "ckpt", "verify", str(folder / "checkpoint")], folder)
    if audit.returncode:
        row.failures.append(f"checkpoint: {(audit.stdout + audit.stderr).strip().splitlines()[-1]}")


def release(version: str) -> list[int]:
    """The numbers of a version."""
    return [int(part) for part in re.findall(r"\d+", version.partition("+")[0])]


def diverges(row: Row, bin_: Path, folder: Path, scenario: str, verdict: str) -> None:
    """The verdict is there, and the exit code 1."""
    job = traced(bin_, folder, scenario)
    if job.returncode != 1 or verdict not in job.stderr:
        row.failures.append(f"{scenario}: exit code {job.returncode}, no {verdict}")


if __name__ == "__main__":
    sys.exit(main())
