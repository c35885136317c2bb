"""The tables of a run: what they hold, and where they are not written."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from collectivelint.runtime.afterwards.statistics import Statistics
from collectivelint.runtime.afterwards.tables.parquet import TABLES, VERSION
from collectivelint.runtime.traces import jobs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .conftest import Job

parquet = pytest.importorskip("pyarrow.parquet")


def _report(folder: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "collectivelint", "report", str(folder), "--parquet", str(out)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=out.parent)


def test_tables_have_what_the_trace_has(trace: Callable[..., Job], tmp_path: Path) -> None:
    job = trace("scenarios.py", "shape")
    out = tmp_path / "tables"
    assert _report(job.folder, out).returncode == job.code
    # Tables of ours are replaced.
    assert _report(job.folder, out).returncode == job.code
    read = {table: parquet.read_table(out / f"{table}.parquet") for table in TABLES}
    recorded = jobs.load(job.folder)
    events = [event for rank in recorded.ranks.values() for event in rank.events]
    rows = read["events"].to_pylist()
    assert [(row["rank"], row["number"], row["op"], row["start"], row["end"]) for row in rows] == [
        (event.rank, event.number, event.op, event.start, event.end or None) for event in events
    ]
    sites = {row["site"]: f"{row['path']}:{row['line']}" for row in read["sites"].to_pylist()}
    groups = {row["group"]: tuple(row["ranks"]) for row in read["groups"].to_pylist()}
    assert [(sites[row["site"]], groups[row["group"]]) for row in rows] == [
        (f"{event.place.path}:{event.place.line}", event.group.ranks) for event in events
    ]
    assert sum(row["bytes"] for row in rows) == sum(row.bytes for row in Statistics(recorded).rows.values())
    assert read["ranks"]["rank"].to_pylist() == sorted(recorded.ranks)
    assert read["events"].schema.metadata[b"collectivelint.tables"] == str(VERSION).encode()


def test_a_folder_with_other_files_is_left_alone(trace: Callable[..., Job], tmp_path: Path) -> None:
    job = trace("scenarios.py", "shape")
    out = tmp_path / "mine"
    out.mkdir()
    (out / "events.parquet").write_text("mine")
    ran = _report(job.folder, out)
    assert ran.returncode == 2
    assert "has other files" in ran.stderr
    assert [file.read_text() for file in out.iterdir()] == ["mine"]
