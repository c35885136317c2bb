"""The engines that compute on the tables: DuckDB in this process, or a Spark cluster."""

from __future__ import annotations

import importlib.util
import os
import re
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from ... import spark
from .schema import TABLES, TablesError, check_readable, file_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .numbers import Analysed, Keep

DUCKDB: Final = "duckdb"


def is_known(engine: str) -> bool:
    """Whether there is an engine of this name: DuckDB, or a master of Spark."""
    return engine == DUCKDB or spark.is_master(engine)


def has_duckdb() -> bool:
    """Whether DuckDB and ibis are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("duckdb", "ibis"))


def analysed(folder: Path, engine: str, *, is_drawn: bool = False) -> list[Analysed]:
    """The analysis of each job in a folder of tables. Raises TablesError if it cannot be computed.

    `is_drawn`: include the arrivals, which a page is drawn from.
    """
    check_readable(folder)
    try:
        import ibis

        from . import numbers

        if engine == DUCKDB:
            import duckdb  # noqa: F401
    except ImportError as error:
        needed = "duckdb" if error.name == "duckdb" else "ibis"
        raise TablesError(f"--engine {engine} needs {needed}: pip install 'collectivelint[report]'") from None
    with _connected(engine) as connection:
        try:
            tables = {table: connection.read_parquet(_address(folder, table, engine)) for table in TABLES}
            for table, columns in TABLES.items():
                if lacks := [column for column in columns if column not in tables[table].columns]:
                    raise TablesError(f"{file_of(folder, table)}: has no column {', '.join(lacks)}")
            return numbers.read(tables, _kept_by(connection), is_drawn=is_drawn)
        except ibis.common.exceptions.IbisError as error:
            raise TablesError(f"--engine {engine}: {spark.cause(error)}") from None
        except Exception as error:
            # What an engine raises has no common class: a file that is damaged, a machine that is lost, no memory left.
            if type(error).__module__.partition(".")[0] not in ("duckdb", "_duckdb", "pyspark", "py4j"):
                raise
            raise TablesError(f"--engine {engine}: {spark.cause(error)}") from None


def _address(folder: Path, table: str, engine: str) -> str:
    """The absolute path of a table, as an engine reads it: Spark takes brackets and stars for patterns."""
    path = os.path.abspath(file_of(folder, table))
    return path if engine == DUCKDB else re.sub(r"([\[\]{}*?\\])", r"\\\1", path)


def _kept_by(connection: Any) -> Keep:
    """How a connection stores the result of an expression that several others use."""
    if connection.name == DUCKDB:
        # Not cache(): ibis 12 with sqlglot 30 cannot drop such a table, and says so on stderr.
        return lambda name, table: connection.create_table(name, table, temp=True)
    return lambda name, table: table.cache()  # noqa: ARG005  # the same form


@contextmanager
def _connected(engine: str) -> Iterator[Any]:
    """An ibis connection to the engine, closed afterwards."""
    if engine == DUCKDB:
        import ibis

        # What does not fit into memory goes there.
        with tempfile.TemporaryDirectory(prefix="collectivelint-") as spill:
            connection = ibis.duckdb.connect(temp_directory=spill)
            try:
                yield connection
            finally:
                connection.disconnect()
        return
    # Whole tables sent to each machine: Spark judges them by their size in Parquet, and has no memory for what comes out of it.
    settings = {"spark.sql.autoBroadcastJoinThreshold": "-1"}
    if engine.startswith("local"):
        # 200 by default, for large clusters: on one machine a small run would take minutes.
        settings["spark.sql.shuffle.partitions"] = str(2 * (os.cpu_count() or 1))
    with spark.session(engine, "report,spark", TablesError, settings) as session:
        import ibis

        yield ibis.pyspark.connect(session)
