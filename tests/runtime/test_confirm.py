"""Static findings beside what a job did."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.afterwards.confirm import Run, is_same_file
from collectivelint.runtime.traces.model import Counted, Event, Group, Place, Rank, State, Trace

from collectivelint.finding import Finding, Location, Step

from .conftest import JOBS, line_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Job

_WORLD = Group((0, 1), 0, "default_pg")


def test_findings_beside_a_real_job(trace: Callable[..., Job], tmp_path: Path) -> None:
    """With the file, with folders at any height, with several paths; with the folder of the run, and that of all runs."""
    package = tmp_path / "src" / "package"
    package.mkdir(parents=True)
    shutil.copy(JOBS / "confirmed.py", package)
    (tmp_path / "src" / "unused.py").write_text(
        "import torch.distributed as dist\n\n\ndef unused():\n    dist.barrier()\n"
    )
    (tmp_path / "src" / "notes.txt").write_text("no code")
    job = trace(package / "confirmed.py", ranks=2)

    def confirm(*paths: str, folder: Path = job.folder, output: str = "json") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "collectivelint", "confirm", *paths, "--trace", str(folder)]
        return subprocess.run(
            [*command, "--min-confidence", "low", "--output-format", output],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )

    ran = confirm("src/package/confirmed.py")
    assert (ran.returncode, ran.stderr) == (1, "")
    report = json.loads(ran.stdout)
    for paths in (["src"], ["src/package"], ["src/unused.py", "src/package"], [str(tmp_path / "src")]):
        other = confirm(*paths, folder=job.folder.parent)
        assert (other.returncode, other.stderr) == (1, ""), paths
        more = json.loads(other.stdout)
        findings = [item for item in more["findings"] if item["path"] == "src/package/confirmed.py"]
        assert (findings, more["unseen"]) == (report["findings"], report["unseen"]), paths
        assert more["run"].endswith(job.folder.name)
    found = {(item["code"], item["row"]): (item["outcome"], item["calls"]) for item in report["findings"]}

    def at(text: str, offset: int = 0) -> int:
        return line_of(text, "confirmed.py") + offset

    assert found == {
        ("CL101", at("def save", 1)): ("confirmed", 1),
        ("CL201", at("        save()")): ("confirmed", 1),
        ("CL101", at("def never", 1)): ("not executed", 0),
        ("CL101", at("dist.all_reduce(torch.ones(1))")): ("uniform", 3),
    }
    unseen = {item["line"]: item["ops"] for item in report["unseen"]}
    # What DDP does in `forward` and `backward`, the linter knows.
    assert unseen == {at("getattr(dist"): ["all_reduce"]}
    text = confirm("src/package/confirmed.py", output="text").stdout
    assert "2 confirmed, 1 observed uniform, 1 not executed." in text
    assert "rank 0 did not" in text


def _rank(number: int, *calls: tuple[str, int, int], made: int | None = None) -> Rank:
    """A rank that made these calls: (op, line, sequence); `made`: how many there were, if some are lost."""
    events = tuple(
        Event(
            number, position, "collective", op, _WORLD, sequence, -1, {"op": op}, False, State.DONE, 1.0, 2.0,
            Place("src/a.py", line, "f", (f"src/a.py:{line} f: x", "src/b.py:9 g: f()")),
        )
        for position, (op, line, sequence) in enumerate(calls, 1)
    )  # fmt: skip
    streams = {(_WORLD.key, "collective"): Counted(made, 0, 0)} if made is not None else {}
    return Rank(number, 2, 1, "host", 0, 0.0, "finished", "", events, lost=made or 0, streams=streams)


def _finding(path: str, row: int, *trail: Step) -> Finding:
    return Finding("CL201", "x", "", "error", path, Location(row, 1), Location(row, 9), "f", trail)


def _outcome(finding: Finding, *ranks: Rank) -> str:
    (found,) = Run(Trace({rank.rank: rank for rank in ranks})).confirm([finding])
    return found.outcome


def test_another_call_of_the_same_operation_answers() -> None:
    assert _outcome(_finding("a.py", 3), _rank(0, ("barrier", 3, 1)), _rank(1, ("barrier", 8, 1))) == "uniform"
    assert _outcome(_finding("a.py", 3), _rank(0, ("barrier", 3, 1)), _rank(1, ("all_reduce", 8, 1))) == "confirmed"
    assert _outcome(_finding("a.py", 3), _rank(0, ("barrier", 3, 1)), _rank(1)) == "confirmed"


def test_whether_the_job_ran_these_files() -> None:
    run = Run(Trace({0: _rank(0, ("barrier", 3, 1))}))
    assert run.is_in(["src/b.py", "src/a.py"])
    assert not run.is_in(["src/b.py", "a.py/c.py"])


def test_what_the_record_has_moved_past_proves_nothing() -> None:
    assert _outcome(_finding("a.py", 3), _rank(0, ("barrier", 3, 1)), _rank(1, made=5)) == "uniform"


@pytest.mark.parametrize(("row", "outcome"), [(9, "confirmed"), (10, "not executed")])
def test_the_call_has_to_come_through_the_finding(row: int, outcome: str) -> None:
    finding = _finding("b.py", row, Step("src/a.py", 3, "collective", "barrier"))
    assert _outcome(finding, _rank(0, ("barrier", 3, 1)), _rank(1)) == outcome


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a.py", "/home/x/a.py", True),
        ("src/a.py", "/home/x/a.py", False),
        ("src/a.py", "src/a.py", True),
        ("../src/a.py", "/home/src/a.py", True),
        ("a.py", "ba.py", False),
    ],
)
def test_paths(one: str, other: str, same: bool) -> None:
    assert is_same_file(one, other) is same
