"""What an engine computes from the tables of a run is what Python computes from its trace."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from collectivelint.runtime import spark
from collectivelint.runtime.afterwards import group_usage
from collectivelint.runtime.afterwards.statistics import Statistics
from collectivelint.runtime.report import report
from collectivelint.runtime.traces import jobs

from . import forked, made_up
from .conftest import JOBS, Job, run

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("ibis")
from collectivelint.runtime.afterwards.tables import engines, parquet


def _close(found: Any, expected: Any) -> bool:
    """Whether two structures are equal but for the order in which numbers were added."""
    if isinstance(expected, float):
        return bool(found == pytest.approx(expected, abs=1e-6))
    if isinstance(expected, dict):
        return list(found) == list(expected) and all(_close(found[key], expected[key]) for key in expected)
    if isinstance(expected, (list, tuple)):
        return len(found) == len(expected) and all(map(_close, found, expected))
    return bool(found == expected)


def _compare(found: list[jobs.Job], folder: Path, engine: str) -> None:
    parquet.write(found, folder, [])
    for job, analysed in zip(found, engines.analysed(folder, engine), strict=True):
        trace = job.trace([])
        numbers = Statistics(trace)
        assert _close(analysed.numbers.as_dict(), numbers.as_dict())
        assert list(analysed.numbers.text()) == list(numbers.text())
        assert analysed.uses == group_usage.uses(trace)
        assert [str(slow) for slow in analysed.numbers.slow] == [str(slow) for slow in numbers.slow]
        assert (analysed.job.ranks, analysed.job.world_size) == (job.ranks, job.world_size)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """A real job whose groups are used, and whose ranks wait for one of them."""
    folder = tmp_path_factory.mktemp("analysis")
    command = [sys.executable, "-m", "collectivelint", "trace", "--out-dir", str(folder / "trace"), "--"]
    return run([*command, *forked.launcher(3), str(JOBS / "scenarios.py"), "groups_in_use"], folder / "trace", folder)


def test_duckdb_finds_what_python_finds(recorded: Job, tmp_path: Path) -> None:
    made = made_up.job()
    # There is something of all kinds to compare.
    numbers, uses = Statistics(made.trace([])), group_usage.uses(made.trace([]))
    assert [(slow.rank, slow.was_on_time, slow.before is not None) for slow in numbers.slow] == [
        (made_up.SLOW, True, True)
    ]
    assert any(use.absent for use in uses)
    assert any(use.destroyed for use in uses)
    assert any(not use.calls for use in uses)
    # Two jobs in one folder: neither is counted with the other.
    _compare([made, *jobs.read(recorded.folder, [])], tmp_path / "it's [1]", engines.DUCKDB)


def test_report_of_tables(recorded: Job, tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    plain = CliRunner().invoke(report, [str(recorded.folder)])
    computed = CliRunner().invoke(report, [str(recorded.folder), "--engine", "duckdb", "--parquet", str(tables)])
    assert (computed.exit_code, computed.output) == (plain.exit_code, plain.output)
    of_tables = CliRunner().invoke(report, [str(tables)])
    assert of_tables.exit_code == 0
    *numbers, last = of_tables.output.splitlines()
    assert numbers == plain.output.splitlines()[: len(numbers)]
    assert last.startswith("No verdict")
    # The same as data.
    whole = json.loads(CliRunner().invoke(report, [str(recorded.folder), "--output-format", "json"]).output)
    data = json.loads(CliRunner().invoke(report, [str(tables), "--output-format", "json"]).output)
    for key in ("job", "groups", "calls", "ranks", "slow"):
        assert _close(data["jobs"][0][key], whole["jobs"][0][key])
    for option in ("--html", "--perfetto"):
        refused = CliRunner().invoke(report, [str(tables), option, str(tmp_path / "file")])
        assert (refused.exit_code, "needs the trace" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: (folder / "events.parquet").unlink(), "events.parquet is missing"),
        (lambda folder: (folder / "events.parquet").write_text("no table"), "--engine duckdb: "),
        (
            lambda folder: (folder / "events.parquet").write_bytes((folder / "jobs.parquet").read_bytes()),
            "/events.parquet: has no column rank, number, ",
        ),
        (
            lambda folder: (folder / "collectivelint-tables.json").write_text('{"collectivelint.tables": 1}'),
            "version 1 of the tables, this release reads version 2",
        ),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, damage: Any, said: str) -> None:
    parquet.write([made_up.job(20)], tmp_path / "tables", [])
    damage(tmp_path / "tables")
    ran = CliRunner().invoke(report, [str(tmp_path / "tables")])
    assert ran.exit_code == 2
    assert ran.output.startswith("error: ")
    assert said in ran.output
    assert len(ran.output.splitlines()) == 1


def test_there_is_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet.write([made_up.job(20)], tmp_path / "tables", [])
    for module, engine, extras in (
        ("pyspark.sql", "local[2]", "report,spark"),
        # ibis is there without it, for other engines.
        ("duckdb", "duckdb", "report"),
        ("ibis", "duckdb", "report"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        ran = CliRunner().invoke(report, [str(tmp_path / "tables"), "--engine", engine])
        assert ran.exit_code == 2
        assert f"pip install 'collectivelint[{extras}]'" in ran.output


def test_an_engine_that_is_none(tmp_path: Path) -> None:
    ran = CliRunner().invoke(report, [str(tmp_path), "--engine", "sqlite"])
    assert (ran.exit_code, "duckdb, or a master of Spark" in ran.output) == (2, True)


def test_nothing_heavy_is_imported_before_it_is_needed(tmp_path: Path) -> None:
    heavy = "{'ibis', 'duckdb', 'pyarrow', 'perfetto', 'pandas', 'pyspark'}"
    code = f"import sys, collectivelint.runtime.cli, collectivelint.runtime.afterwards.tables.sql; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "Job aborted\n\tat org.apache.spark.X\nCaused by: java.io.IOException: no space",
            "java.io.IOException: no space",
        ),
        (
            'Job aborted: org.apache.spark.api.python.PythonException: Traceback\n  File "a.py"\nFileNotFoundError: [Errno 2] a\n'
            "\n\tat org.apache.X\nCaused by: org.apache.spark.api.python.PythonException: Traceback (most recent call last):",
            "FileNotFoundError: [Errno 2] a",
        ),
        ("\n A master URL must be set \n", "A master URL must be set"),
        ("", "ValueError"),
    ],
)
def test_the_cause_of_an_error_of_spark(text: str, said: str) -> None:
    assert spark.cause(ValueError(text)) == said


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java")
def test_spark_finds_what_python_finds(recorded: Job, tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    _compare([made_up.job(), *jobs.read(recorded.folder, [])], tmp_path / "it's [1]", "local[2]")
