"""Tables in `collectivelint report`: write them, have an engine analyse them, report on a folder of them."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from .afterwards import group_usage
from .afterwards.tables import engines, parquet
from .afterwards.tables.schema import TablesError
from .beside import judging
from .say import echo, reason
from .traces import jobs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .afterwards.tables.numbers import Analysed
    from .traces.jobs import Job


def known_engine(ctx: click.Context, parameter: click.Parameter, engine: str | None) -> str | None:
    """The value of --engine, or a usage error."""
    if engine is not None and not engines.is_known(engine):
        raise click.BadParameter("duckdb, or a master of Spark such as local[2] or spark://host:7077", ctx, parameter)
    return engine


def report(folder: Path, engine: str | None, output_format: str, unsuitable: Sequence[str]) -> None:
    """Print the numbers of a folder of tables. `unsuitable`: the options given that need the trace."""
    if unsuitable:
        raise click.UsageError(f"{folder} has tables; {', '.join(unsuitable)} needs the trace")
    try:
        found = engines.analysed(folder, engine or engines.DUCKDB)
    except (TablesError, OSError) as error:
        _fail(error)
    names = jobs.names([item.job for item in found])
    if output_format == "json":
        click.echo(json.dumps(_as_dict(folder, found, names), indent=2))
        return
    for item, name in zip(found, names, strict=True):
        if name:
            echo(f"{name[0].upper()}{name[1:]}", bold=True)
        echo("\n".join([*item.numbers.text(), "", *group_usage.text(item.uses), ""]))
    echo("No verdict: these are tables. `collectivelint report` reads it from the trace.")


def _as_dict(folder: Path, found: Sequence[Analysed], names: Sequence[str]) -> dict[str, Any]:
    return {
        "version": judging.VERSION,
        "tables": str(folder),
        "jobs": [
            {
                "job": judging.identity(item.job, number, len(found), name),
                "groups": group_usage.as_dicts(item.uses),
                **item.numbers.as_dict(),
            }
            for number, (item, name) in enumerate(zip(found, names, strict=True), 1)
        ],
    }


def analysed(
    found: Sequence[Job], folder: Path | None, engine: str | None, *, is_drawn: bool = False
) -> list[Analysed]:
    """The analysis of each job by an engine, [] if `engine` is None. The tables are kept in `folder` if one is given.

    `is_drawn`: include the arrivals, which a page is drawn from.
    """
    try:
        if folder is not None:
            _write(found, folder)
        if engine is None:
            return []
        if folder is not None:
            return engines.analysed(folder, engine, is_drawn=is_drawn)
        with tempfile.TemporaryDirectory(prefix="collectivelint-") as name:
            _write(found, Path(name))
            return engines.analysed(Path(name), engine, is_drawn=is_drawn)
    except (TablesError, OSError) as error:
        _fail(error)


def _write(found: Sequence[Job], folder: Path) -> None:
    # What is wrong with a rank is said once, by what reads it for the report.
    parquet.write(found, folder, [])


def write_perfetto(found: Sequence[Job], file: Path) -> None:
    """Write a trace for Perfetto, or exit."""
    from .afterwards import perfetto

    try:
        perfetto.write(found, jobs.names(found), file, [])
    except (perfetto.PerfettoError, OSError) as error:
        _fail(error)


def _fail(error: Exception) -> NoReturn:
    echo(f"error: {reason(error)}", err=True)
    sys.exit(2)
