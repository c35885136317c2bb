"""The tables of a run as Parquet files: their columns, and writing them rank by rank (docs/tables.md)."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ...traces.model import Numbering
from ...traces.ring import TraceError
from ..statistics import size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ...traces.jobs import Job
    from ...traces.model import Event, Rank

#: Goes up when a column changes its meaning or goes.
VERSION: Final = 1
MARKER: Final = "collectivelint-tables.json"
#: Column -> Arrow type; "?" marks columns that may be null, "[]" lists.
TABLES: Final[dict[str, dict[str, str]]] = {
    "jobs": {"job": "int32", "store": "string", "world_size": "int32", "attempt": "int32", "started": "float64"},
    "ranks": {
        "job": "int32", "rank": "int32", "pid": "int32", "host": "string", "started": "float64", "end": "string",
        "error": "string?", "events": "int64", "lost": "int64",
    },
    "groups": {"job": "int32", "group": "int32", "description": "string", "ordinal": "int32", "ranks": "int32[]"},
    "sites": {"job": "int32", "site": "int32", "path": "string", "line": "int32", "function": "string", "stack": "string[]"},
    "signatures": {"job": "int32", "signature": "int32", "text": "string"},
    "events": {
        "job": "int32", "rank": "int32", "number": "int64", "kind": "string", "op": "string", "group": "int32",
        "sequence": "int64", "peer": "int32?", "signature": "int32", "bytes": "int64", "is_async": "bool",
        "state": "string", "start": "float64", "end": "float64?", "thread": "int64", "site": "int32",
    },
}  # fmt: skip
#: Rows that are held in memory before they are written.
BATCH: Final = 1 << 16


class TablesError(Exception):
    """The tables cannot be written; its text says why."""


def write(jobs: Iterable[Job], folder: Path, unreadable: list[str]) -> None:
    """Write the tables of all jobs into a folder that is new, empty or has tables already.

    One rank's events are in memory at a time. `unreadable` gets what is wrong with ranks that are left out; TablesError is
    raised where the folder has other files, or pyarrow is missing.
    """
    try:
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise TablesError("--parquet needs pyarrow: pip install 'collectivelint[report]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / MARKER
    if not marker.is_file() and any(folder.iterdir()):
        raise TablesError(f"{folder}: has other files, and no tables of collectivelint")
    marker.write_text(json.dumps({"version": VERSION}) + "\n", encoding="utf-8")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as name:
        writers = _Writers(Path(name))
        for number, job in enumerate(jobs):
            _job(writers, number, job, unreadable)
        writers.close()
        for table in TABLES:
            Path(name, f"{table}.parquet").replace(folder / f"{table}.parquet")


class _Writers:
    """One Parquet file for each table."""

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._schemas = {table: _schema(pa, columns) for table, columns in TABLES.items()}
        self._files = {
            table: parquet.ParquetWriter(folder / f"{table}.parquet", schema, compression="zstd")
            for table, schema in self._schemas.items()
        }
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}

    def add(self, table: str, *row: Any) -> None:
        """A row, its values in the order of the columns."""
        rows = self._rows[table]
        rows.append(row)
        if len(rows) >= BATCH:
            self._flush(table)

    def _flush(self, table: str) -> None:
        import pyarrow as pa

        rows, schema = self._rows[table], self._schemas[table]
        if rows:
            columns = [
                pa.array(values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            self._files[table].write_table(pa.Table.from_arrays(columns, schema=schema))
            rows.clear()

    def close(self) -> None:
        """Write what is left."""
        for table, file in self._files.items():
            self._flush(table)
            file.close()


def _schema(pa: Any, columns: dict[str, str]) -> Any:
    fields = []
    for name, kind in columns.items():
        base = pa.type_for_alias(kind.rstrip("?").removesuffix("[]"))
        fields.append(pa.field(name, pa.list_(base) if kind.endswith("[]") else base, nullable=kind.endswith("?")))
    return pa.schema(fields, metadata={"collectivelint.tables": str(VERSION)})


def _job(writers: _Writers, number: int, job: Job, unreadable: list[str]) -> None:
    writers.add("jobs", number, job.store, job.world_size, job.attempt, job.started)
    numbering = Numbering()
    groups: set[int] = set()
    known: dict[str, dict[Any, int]] = {"sites": {}, "signatures": {}}

    def identity(table: str, key: Any, *row: Any) -> int:
        found = known[table].get(key)
        if found is None:
            found = known[table][key] = len(known[table])
            writers.add(table, number, found, *row)
        return found

    def group_of(group: Any) -> int:
        found = numbering(group.key)
        if found not in groups:
            groups.add(found)
            writers.add("groups", number, found, group.description, group.ordinal, group.ranks)
        return found

    def add(event: Event) -> None:
        place, text = event.place, json.dumps(event.signature, sort_keys=True, default=str)
        site = identity("sites", place, place.path, place.line, place.function, place.stack)
        writers.add(
            "events", number, event.rank, event.number, event.kind, event.op, group_of(event.group), event.sequence,
            None if event.peer < 0 else event.peer, identity("signatures", text, text), size(event.signature),
            event.is_async, event.state.name.lower(), event.start, event.end or None, event.thread, site,
        )  # fmt: skip

    for rank in _ranks(job, unreadable):
        count, lost = len(rank.events), rank.lost
        writers.add(
            "ranks", number, rank.rank, rank.pid, rank.host, rank.started, rank.end, rank.error or None, count, lost
        )
        for group in rank.groups:
            group_of(group)
        for event in rank.events:
            add(event)


def _ranks(job: Job, unreadable: list[str]) -> Iterator[Rank]:
    """The ranks of a job, each read when it is its turn."""
    if job.recorded is not None:
        yield from job.recorded.ranks.values()
    for reader in job.readers:
        try:
            yield reader.whole()
        except TraceError as error:
            unreadable.append(str(error))
