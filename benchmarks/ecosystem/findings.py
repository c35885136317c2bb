"""The findings of a repository, as they are kept between runs."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """One finding."""

    repository: str
    path: str
    line: int
    code: str
    confidence: str
    function: str
    message: str


def lint(repository: str, tree: Path) -> list[Finding]:
    """What the linter reports for the files below `tree`, at every confidence."""
    command = [sys.executable, "-m", "collectivelint", "check", "--isolated", "--no-cache", "--min-confidence", "low"]
    done = subprocess.run([*command, "--output-format", "json", "."], cwd=tree, capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise subprocess.SubprocessError(done.stderr.strip().splitlines()[-1])
    return sorted(
        Finding(
            repository,
            row["filename"],
            row["location"]["row"],
            row["code"],
            row["confidence"],
            row["function"] or "",
            row["message"],
        )
        for row in json.loads(done.stdout)
    )


def read(file: Path) -> list[Finding]:
    """The findings that `write` wrote."""
    return [Finding(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def write(file: Path, findings: Iterable[Finding]) -> None:
    """One finding a line, in order, so that a change is a readable diff."""
    lines = [json.dumps(asdict(finding)) + "\n" for finding in sorted(findings)]
    file.write_text("".join(lines), encoding="utf-8")
