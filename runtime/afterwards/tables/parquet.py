"""Writing the tables of a run as Parquet files, rank by rank (docs/tables.md)."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from collectivelint import atomic

from ...traces.model import State
from ...traces.ring import KINDS
from ..rank_by_rank import calls_of
from ..statistics import size
from .schema import KEY, MARKER, TABLES, VERSION, TablesError, check_replaceable, file_of, marker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ...traces.columns import Calls, Column
    from ...traces.jobs import Job
    from ...traces.model import Rank

#: Rows of a table that are held in memory before they are written, and how many of them as Python's objects, which are larger.
BATCH: Final = 1 << 16
_PIECE: Final = 1 << 12
#: Calls that are none on the group: a rank makes it, or calls on a group that it is not in.
_NOT_ON_GROUP: Final = ("create", "outsider")
_STATES: Final = tuple(state.name.lower() for state in State)


def write(jobs: Iterable[Job], folder: Path, unreadable: list[str]) -> None:
    """Write the tables of all jobs into a folder that is new, empty or already has tables.

    One rank's events are in memory at a time. Problems with ranks that are left out are appended to `unreadable`.
    Raises TablesError if the folder has other files, or pyarrow is missing.
    """
    try:
        import numpy as np  # noqa: F401
        import pyarrow as pa  # noqa: F401
    except ImportError:
        raise TablesError("tables need pyarrow: pip install 'collectivelint[report]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    check_replaceable(folder)
    atomic.write(folder / MARKER, marker(), follow=False)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".writing-") as name:
        writers = _Writers(Path(name))
        for number, job in enumerate(jobs):
            _Job(writers, number, job).write(unreadable)
        writers.close()
        for table in TABLES:
            file_of(Path(name), table).replace(file_of(folder, table))


class _Writers:
    """One Parquet file for each table."""

    def __init__(self, folder: Path) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        self._schemas = {table: _schema(pa, columns) for table, columns in TABLES.items()}
        self._files = {
            table: parquet.ParquetWriter(file_of(folder, table), schema, compression="zstd")
            for table, schema in self._schemas.items()
        }
        self._rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in TABLES}
        self._pieces: dict[str, list[Any]] = {table: [] for table in TABLES}

    def add(self, table: str, *row: Any) -> None:
        """Add a row; the values are in the order of the columns."""
        rows = self._rows[table]
        rows.append(row)
        if len(rows) >= _PIECE:
            self._gather(table)
            if sum(piece.num_rows for piece in self._pieces[table]) >= BATCH:
                self._flush(table)

    def columns(
        self,
        table: str,
        columns: Mapping[str, Column],
        named: Mapping[str, tuple[Sequence[str], Column]],
        missing: Mapping[str, Column],
    ) -> None:
        """Add many rows, given by column.

        `columns`: arrays; `named`: text columns, as distinct values and an array of indices; `missing`: arrays that are
        true for NULL.
        """
        import pyarrow as pa

        found = []
        for field in self._schemas[table]:
            if field.name in named:
                texts, indices = named[field.name]
                found.append(_column(pa, texts, field.type).take(pa.array(indices)))
            else:
                found.append(pa.array(columns[field.name], field.type, mask=missing.get(field.name)))
        for start in range(0, len(found[0]), BATCH):
            self._pieces[table].append(
                pa.RecordBatch.from_arrays(
                    [column.slice(start, BATCH) for column in found], schema=self._schemas[table]
                )
            )
            if sum(piece.num_rows for piece in self._pieces[table]) >= BATCH:
                self._flush(table)

    def _gather(self, table: str) -> None:
        import pyarrow as pa

        rows, schema = self._rows[table], self._schemas[table]
        if rows:
            columns = [
                _column(pa, values, field.type) for values, field in zip(zip(*rows, strict=True), schema, strict=True)
            ]
            self._pieces[table].append(pa.RecordBatch.from_arrays(columns, schema=schema))
            rows.clear()

    def _flush(self, table: str) -> None:
        import pyarrow as pa

        if pieces := self._pieces[table]:
            self._files[table].write_table(pa.Table.from_batches(pieces))
            pieces.clear()

    def close(self) -> None:
        """Write the remaining rows and close the files."""
        for table, file in self._files.items():
            self._gather(table)
            self._flush(table)
            file.close()


def _column(pa: Any, values: Iterable[Any], kind: Any) -> Any:
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        # Names of files may have bytes that are no UTF-8, which no table stores: their escapes, as the report shows them.
        return pa.array([_escaped(value) for value in values], kind)


def _escaped(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_escaped(inner) for inner in value]
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _schema(pa: Any, columns: dict[str, str]) -> Any:
    fields = []
    for name, kind in columns.items():
        base = pa.type_for_alias(kind.rstrip("?").removesuffix("[]"))
        fields.append(pa.field(name, pa.list_(base) if kind.endswith("[]") else base, nullable=kind.endswith("?")))
    return pa.schema(fields, metadata={KEY: str(VERSION)})


class _Job:
    """Writes the rows of one job. Groups, sites and signatures are numbered in order of first use."""

    def __init__(self, writers: _Writers, number: int, job: Job) -> None:
        self._writers, self._number, self._job = writers, number, job
        from ...traces.columns import Catalog

        self._catalog = Catalog()
        #: How many of its groups, sites and signatures are written.
        self._written = (0, 0, 0)
        #: The bytes of the tensors of each signature.
        self._bytes: list[int] = []

    def write(self, unreadable: list[str]) -> None:
        """All rows."""
        job, number = self._job, self._number
        self._writers.add("jobs", number, job.store, job.world_size, job.attempt, job.started)
        for rank, calls in calls_of(job, self._catalog, unreadable):
            self._writers.add(
                "ranks", number, rank.rank, rank.world_size, rank.pid, rank.host, rank.started, rank.end,
                rank.error or None, len(calls), rank.lost,
            )  # fmt: skip
            self._name()
            self._events(rank.rank, calls)
            self._members(rank)
            self._name()

    def _name(self) -> None:
        """Write the rows of groups, sites and signatures that are new in the catalog."""
        catalog, writers, job = self._catalog, self._writers, self._number
        groups, sites, signatures = self._written
        for number, group in enumerate(catalog.groups[groups:], groups):
            writers.add("groups", job, number, group.description, group.ordinal, group.ranks)
        for number, place in enumerate(catalog.sites[sites:], sites):
            writers.add("sites", job, number, place.path, place.line, place.function, place.stack)
        for number, text in enumerate(catalog.texts[signatures:], signatures):
            writers.add("signatures", job, number, text)
            self._bytes.append(size(catalog.signatures[number]))
        self._written = (len(catalog.groups), len(catalog.sites), len(catalog.signatures))

    def _events(self, rank: int, calls: Calls) -> None:
        import numpy as np

        named = {
            "kind": (KINDS, calls["kind"]),
            "op": (self._catalog.ops, calls["op"]),
            "state": (_STATES, calls["state"]),
        }
        columns = {
            **{
                name: calls[name]
                for name in TABLES["events"]
                if name in (calls.dtype.names or ()) and name not in named
            },
            "job": np.full(len(calls), self._number),
            "rank": np.full(len(calls), rank),
            "bytes": np.array(self._bytes, np.int64)[calls["signature"]],
        }
        self._writers.columns("events", columns, named, {"peer": calls["peer"] < 0, "end": calls["end"] == 0})

    def _members(self, rank: Rank) -> None:
        """Write the groups that a rank is in or has called on, with the number of calls, including overwritten ones."""
        catalog = self._catalog
        mine = {catalog.group(group) for group in rank.groups}
        calls: Counter[int] = Counter()
        counts = [(key, counted) for (key, kind), counted in rank.streams.items() if kind not in _NOT_ON_GROUP]
        counts += [(key, counted) for (key, *_), counted in rank.peers.items()]
        for key, counted in counts:
            # Of a group without a name nothing can be said.
            if (number := catalog.known(key)) is not None:
                calls[number] += counted.calls
        destroyed = {catalog.known(key) for key in rank.destroyed}
        for number in sorted(mine | calls.keys() | {number for number in destroyed if number is not None}):
            self._writers.add("members", self._number, rank.rank, number, calls[number], number in destroyed)
