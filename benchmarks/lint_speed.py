"""How long the linter takes, beside its peers, on code you have: `make bench-lint TREES=folder`.

The Python files of the folder are copied first, so that one of them can be changed. Each line is one command, run in a
process of its own: seconds of wall time, and the peak memory of the largest process. Cold: no cache. Warm: nothing has
changed. One file: a line was added to the file in the middle of the list, and to one that many others import. Peers are
run if they are installed: ruff with its default rules, flake8 with torchfix, fixit, semgrep with two patterns.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_SEMGREP = """
rules:
  - id: barrier
    languages: [python]
    severity: ERROR
    message: barrier
    pattern: torch.distributed.barrier()
  - id: reduce
    languages: [python]
    severity: ERROR
    message: all_reduce
    pattern: torch.distributed.all_reduce($X)
"""


def _measure(label: str, command: list[str], folder: Path) -> float:
    """Run a command; print and return its seconds."""
    code = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, "
        "stderr=subprocess.DEVNULL); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=folder, check=True, capture_output=True, text=True
    )
    seconds = time.perf_counter() - started
    print(f"{label:<34} {seconds:8.2f} s {int(done.stdout) / 1024:8.0f} MB", flush=True)
    return seconds


def _copy(tree: Path, folder: Path) -> list[Path]:
    found = []
    for file in sorted(tree.rglob("*.py")):
        relative = file.relative_to(tree)
        if file.is_file() and not any(part.startswith(".") or part in ("build", "venv") for part in relative.parts):
            target = folder / relative
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, target)
            found.append(target)
    return found


def _append(file: Path) -> None:
    with file.open("a", encoding="utf-8") as stream:
        stream.write("\n# changed\n")


def main(tree: Path, peers: bool) -> None:
    """Measure on a copy of `tree`."""
    linter = [
        str(Path(sys.executable).with_name("collectivelint")),
        "check",
        "--isolated",
        "--output-format",
        "concise",
    ]
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary) / "one" / "tree"
        files = _copy(tree, work)
        lines = sum(file.read_bytes().count(b"\n") for file in files)
        print(f"{len(files)} files, {lines} lines, {os.cpu_count()} CPUs, Python {sys.version.split()[0]}")
        imported = max(files, key=lambda file: sum(file.stem.encode() in other.read_bytes() for other in files[::20]))
        cached = [*linter, "--cache-dir", str(Path(temporary) / "cache"), "."]
        cold = _measure("cold", cached, work)
        _measure("warm", cached, work)
        _append(files[len(files) // 2])
        _measure(f"one file: {files[len(files) // 2].name}", cached, work)
        _append(imported)
        _measure(f"one file: {imported.name}", cached, work)
        _measure("cold, one process", [*linter, "--no-cache", "--jobs", "1", "."], work)
        four = Path(temporary) / "four"
        for number in range(4):
            _copy(tree, four / f"tree{number}")
        again = _measure("cold, four copies", [*linter, "--no-cache", "."], four)
        print(f"{'four copies take':<34} {again / cold:8.2f} times as long")
        if not peers:
            return
        rules = Path(temporary) / "rules.yml"
        rules.write_text(_SEMGREP, encoding="utf-8")
        for label, command in {
            "ruff": ["ruff", "check", "--isolated", "--no-cache", "."],
            "semgrep, two patterns": ["semgrep", "--config", str(rules), "--metrics", "off", "--quiet", "."],
            "flake8 with torchfix": ["flake8", "--isolated", "--select", "TOR", "."],
            "fixit": ["fixit", "lint", "."],
        }.items():
            program = shutil.which(command[0], path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
            if program is None:
                print(f"{label:<34} not installed")
            else:
                _measure(label, [program, *command[1:]], work)


if __name__ == "__main__":
    if len(sys.argv) < 2 or not Path(sys.argv[1]).is_dir():
        raise SystemExit("usage: lint_speed.py FOLDER [--no-peers]; a folder with Python code")
    main(Path(sys.argv[1]), peers="--no-peers" not in sys.argv)
