"""`collectivelint sql`: queries of the tables of a run on DuckDB, restricted to reading these tables."""

from __future__ import annotations

import csv
import io
import json
import sys
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from collectivelint.cli.words import Word
from collectivelint.printable import one_line

from ...options import TraceFolder
from ...say import echo, reason
from ...traces import folders
from ...traces.ring import TraceError
from ..jobs_of import jobs_of
from . import parquet, schema
from .schema import TABLES, TablesError, check_readable, file_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Rows that are fetched at once.
_BLOCK: Final = 10_000


@click.command("sql")
@click.argument("folder", metavar="DIR", type=TraceFolder())
@click.argument("query")
@click.option("--output-format", type=Word(["text", "json", "csv"]), default="text", show_default=True)
def sql(folder: Path, query: str, output_format: str) -> None:
    """Run an SQL query over the calls of a run: collectivelint sql DIR "select op, count(*) from events group by op".

    DIR is a folder of tables (`report --parquet`) or a trace that `report` reads. The tables are jobs, ranks, groups, members,
    sites, signatures and events; the dialect is DuckDB's. A query can read these tables only, and write nothing. Exit code 2
    if the query is wrong or there is nothing to read.
    """
    try:
        with _tables(folder) as tables, _connected(tables) as connection:
            names, rows = _run(connection, query)
            _SHOWN[output_format](names, rows)
    except BrokenPipeError:
        # Whoever reads the output has enough.
        raise
    except (TablesError, TraceError, OSError) as error:
        echo(f"error: {reason(error)}", err=True)
        sys.exit(2)


@contextmanager
def _tables(folder: Path) -> Iterator[Path]:
    """The folder with the tables; a temporary one if `folder` has only a trace."""
    if schema.version(folder) is not None:
        check_readable(folder)
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="collectivelint-") as name:
        unreadable: list[str] = []
        parquet.write(jobs_of(folders.newest(folder), unreadable), Path(name), unreadable)
        for problem in unreadable:
            echo(f"error: {one_line(problem)}; the tables cover the other ranks only", err=True)
        yield Path(name)


@contextmanager
def _connected(folder: Path) -> Iterator[Any]:
    """A connection with a view of each table that can read nothing else."""
    try:
        import duckdb
    except ImportError:
        raise TablesError("collectivelint sql needs duckdb: pip install 'collectivelint[report]'") from None
    # What does not fit into memory goes there, and not into the current folder.
    with tempfile.TemporaryDirectory(prefix="collectivelint-") as spill, duckdb.connect() as connection:
        allowed = [str(file_of(folder, table).resolve()) for table in TABLES]
        try:
            connection.execute(f"SET temp_directory = {_quoted(spill)}")
            connection.execute(f"SET allowed_paths = [{', '.join(map(_quoted, allowed))}]")
            for setting in (
                "enable_external_access = false",
                "autoinstall_known_extensions = false",
                "lock_configuration = true",
            ):
                connection.execute(f"SET {setting}")
            for table, path in zip(TABLES, allowed, strict=True):
                connection.execute(f"CREATE VIEW {table} AS SELECT * FROM read_parquet({_quoted(path)})")
        except duckdb.Error as error:
            raise TablesError(f"{folder}: {_first_line(error)}") from None
        yield connection


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _run(connection: Any, query: str) -> tuple[list[str], Iterator[tuple[Any, ...]]]:
    """The column names and the rows. Raises TablesError unless the query is one read-only statement."""
    import duckdb

    if any("\ud800" <= sign <= "\udfff" for sign in query):
        raise TablesError("the query is not UTF-8")
    try:
        statements = connection.extract_statements(query)
        reading = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
        if len(statements) != 1 or statements[0].type not in reading:
            raise TablesError("a query is one statement that reads: SELECT, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN")
        result = connection.execute(statements[0])
        names = [column[0] for column in result.description]
    except duckdb.Error as error:
        raise TablesError(_message(error)) from None
    return names, _fetched(result)


def _fetched(result: Any) -> Iterator[tuple[Any, ...]]:
    import duckdb

    while True:
        try:
            block = result.fetchmany(_BLOCK)
        except duckdb.Error as error:
            raise TablesError(_message(error)) from None
        if not block:
            return
        yield from block


def _message(error: Exception) -> str:
    """The error message for a query, with the position of the error."""
    return "\n".join(line for line in str(error).splitlines() if line.strip())


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


# ------------------------------------------------------------------------------------------------------------- output


def _text(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Print aligned columns, numbers to the right; NULL is an empty cell."""
    values = list(rows)
    columns = [[row[index] for row in values] for index in range(len(names))]
    is_number = [all(isinstance(value, (int, float)) for value in column if value is not None) for column in columns]
    table = [list(names), *([_plain(value) for value in row] for row in values)]
    widths = [max(len(line[index]) for line in table) for index in range(len(names))]
    for line in table:
        cells = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, is_number, strict=True)
        )
        echo("  ".join(cells).rstrip())


def _plain(value: Any) -> str:
    """The text of a value in a cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value)
    return one_line(json.dumps(value, default=str) if isinstance(value, (list, dict, bool)) else str(value))


def _json(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    """Print a JSON list with an object for each row.

    Values that JSON has no form for become text. Columns with equal names get numbers.
    """
    keys: list[str] = []
    for name in names:
        others = (f"{name}_{number}" for number in count(1))
        keys.append(name if name not in keys else next(key for key in others if key not in (*keys, *names)))
    separator = "["
    for row in rows:
        click.echo(
            separator + "\n  " + json.dumps(dict(zip(keys, map(_finite, row), strict=True)), default=str), nl=False
        )
        separator = ","
    click.echo("[]" if separator == "[" else "\n]")


def _finite(value: Any) -> Any:
    """The value with infinity and NaN replaced by null, also in lists and structs."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and value - value != 0 else value


def _csv(names: Sequence[str], rows: Iterator[tuple[Any, ...]]) -> None:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="\n")
    for row in (names, *([_cell(value) for value in row] for row in rows)):
        writer.writerow(row)
        click.echo(line.getvalue(), nl=False)
        line.seek(0)
        line.truncate()


def _cell(value: Any) -> Any:
    return json.dumps(_finite(value), default=str) if isinstance(value, (list, dict, bool)) else value


_SHOWN: Final = {"text": _text, "json": _json, "csv": _csv}
