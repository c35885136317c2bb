"""The tables of a run: what they hold, and where they are not written."""

from __future__ import annotations

import re
import sys
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from collectivelint.runtime.afterwards import perfetto
from collectivelint.runtime.afterwards.statistics import Statistics
from collectivelint.runtime.afterwards.tables import schema
from collectivelint.runtime.afterwards.tables.parquet import write
from collectivelint.runtime.afterwards.tables.schema import TABLES, VERSION
from collectivelint.runtime.report import report
from collectivelint.runtime.traces import columns, jobs
from collectivelint.runtime.traces.model import Event, Group, Place, Rank, State, Trace

from . import made_up
from .test_damaged import _rank

if TYPE_CHECKING:
    from collections.abc import Callable

    from collectivelint.runtime.traces.reader import Reader

    from .conftest import Job

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def test_tables_have_what_the_trace_has(trace: Callable[..., Job], tmp_path: Path) -> None:
    job = trace("scenarios.py", "shape")
    out = tmp_path / "tables"
    assert CliRunner().invoke(report, [str(job.folder), "--parquet", str(out)]).exit_code == job.code
    # Tables of ours are replaced.
    assert CliRunner().invoke(report, [str(job.folder), "--parquet", str(out)]).exit_code == job.code
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
    members = {(row["rank"], row["group"]): (row["calls"], row["destroyed"]) for row in read["members"].to_pylist()}
    assert members == {(rank.rank, 0): (5, bool(rank.destroyed)) for rank in recorded.ranks.values()}
    assert read["events"].schema.metadata[b"collectivelint.tables"] == str(VERSION).encode()


def _other_files(folder: Path) -> None:
    (folder / "events.parquet").write_text("mine")


def _the_name_of_our_marker(folder: Path) -> None:
    _other_files(folder)
    (folder / schema.MARKER).write_text('{"version": 2}')


def _a_table_of_theirs_beside_our_marker(folder: Path) -> None:
    (folder / schema.MARKER).write_text(schema.marker())
    parquet.write_table(pyarrow.table({"mine": [1]}), folder / "events.parquet")


def _a_link_beside_our_marker(folder: Path) -> None:
    (folder / schema.MARKER).write_text(schema.marker())
    (folder / "events.parquet").symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize(
    "make", [_other_files, _the_name_of_our_marker, _a_table_of_theirs_beside_our_marker, _a_link_beside_our_marker]
)
def test_what_is_not_ours_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    make(out)
    before = {file.name: file.is_symlink() or file.read_bytes() for file in out.iterdir()}
    with pytest.raises(schema.TablesError, match=r"has other files|is not replaced"):
        write([made_up.job(20)], out, [])
    assert {file.name: file.is_symlink() or file.read_bytes() for file in out.iterdir()} == before


def test_files_beside_tables_stay(tmp_path: Path) -> None:
    write([made_up.job(20)], tmp_path, [])
    (tmp_path / "notes.txt").write_text("mine")
    write([made_up.job(40)], tmp_path, [])
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert parquet.read_table(tmp_path / "jobs.parquet").num_rows == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(
        ["notes.txt", schema.MARKER, *(f"{table}.parquet" for table in TABLES)]
    )


def test_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write([made_up.job(20)], tmp_path / "one", [])
    for name in ("BATCH", "_PIECE"):
        monkeypatch.setattr(f"collectivelint.runtime.afterwards.tables.parquet.{name}", 3)
    write([made_up.job(20)], tmp_path / "many", [])
    for table in TABLES:
        files = [tmp_path / folder / f"{table}.parquet" for folder in ("one", "many")]
        one, many = map(parquet.read_table, files)
        assert one.equals(many)
    assert parquet.ParquetFile(tmp_path / "many" / "events.parquet").num_row_groups > 10


def test_calls_of_ranks_are_read_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 8 ranks with events no two have them in memory at the same time, and none as an Event each."""
    for number in range(8):
        _rank(tmp_path / "run", number, 10, world_size=8)
    living: list[weakref.ref[Any]] = []
    most = 0
    of_reader = columns.of_reader

    def read(reader: Reader, catalog: columns.Catalog) -> columns.Calls:
        nonlocal most
        calls = of_reader(reader, catalog)
        # A view of this array may outlive it, an array of its own may not.
        living.append(weakref.ref(calls))
        most = max(most, sum(one() is not None for one in living))
        return calls

    monkeypatch.setattr(columns, "of_reader", read)
    monkeypatch.setattr("collectivelint.runtime.traces.reader.Event", None)
    found = jobs.read(tmp_path / "run", [])
    write(found, tmp_path / "tables", [])
    # The calls of the rank before are there until those of the next take their place.
    assert (len(living), most) == (8, 2)


def test_pyarrow_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(schema.TablesError, match=r"pip install 'collectivelint\[report\]'"):
        write([made_up.job(20)], tmp_path / "tables", [])
    assert not (tmp_path / "tables").exists()


def test_a_file_whose_name_is_no_utf8(tmp_path: Path) -> None:
    place = Place("a\udcfe.py", 3, "step", ("a\udcfe.py:3 step: dist.barrier()",))
    event = Event(0, 0, "collective", "barrier", Group((0,), 0, ""), 1, -1, {}, False, State.DONE, 1.0, 2.0, place)
    trace = Trace({0: Rank(0, 1, 1, "host", 0, 0.0, "finished", "", (event,))})
    job = jobs.Job("", 1, 0, 0.0, recorded=trace)
    write([job], tmp_path / "tables", [])
    (site,) = parquet.read_table(tmp_path / "tables" / "sites.parquet").to_pylist()
    assert (site["path"], site["stack"]) == ("a\\udcfe.py", ["a\\udcfe.py:3 step: dist.barrier()"])
    pytest.importorskip("perfetto")
    perfetto.write([job], [""], tmp_path / "run.perfetto-trace", [])
    assert b"a\\udcfe.py:3" in (tmp_path / "run.perfetto-trace").read_bytes()


def test_what_was_read_of_a_ring_does_not_stay_in_memory(tmp_path: Path) -> None:
    _rank(tmp_path / "run", 0, 10, world_size=1)
    (job,) = jobs.read(tmp_path / "run", [])
    (reader,) = job.readers
    first = job.trace([])
    smaps = Path("/proc/self/smaps")
    if not smaps.exists():
        pytest.skip("no /proc: what is in memory cannot be told")
    mapped = smaps.read_text().partition(str(reader.path))[2]
    assert re.search(r"^Rss: +0 kB", mapped, re.MULTILINE)
    assert job.trace([]) == first
