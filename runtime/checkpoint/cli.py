"""`collectivelint ckpt inspect | verify | diff`."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from collectivelint import atomic
from collectivelint.cli.words import Subcommands
from collectivelint.settings import Resolver

from ..options import NamedPath
from ..say import reason
from . import show
from .audit import Wanted, audit, opened
from .checks import manifest
from .checks.diff import compare, correspondence, damaged, paired
from .checks.engine import HERE
from .checks.rank_files import alike
from .checks.sweep import sweep
from .formats.load import load
from .formats.unpickle import Memory
from .model import CheckpointError
from .page import of_listing, of_report
from .stores.path import path_of
from .stores.store import forget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .checks.engine import Engine
    from .files import Progress


class _Address(NamedPath):
    """A path here, or an address of a store."""

    name = "path or address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path."""
        found = super().convert(value, param, ctx)
        return path_of(os.fspath(value)) if isinstance(found, Path) else found


_PATH: Final = NamedPath()
_ADDRESS: Final = _Address()
_JSON: Final = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_HTML: Final = click.option(
    "--html", "page", type=_PATH, help="Write a page with a map of each tensor: chunks by rank, problems marked."
)


@click.group(
    cls=Subcommands,
    usual="verify",
    meant={"ls": "inspect", "list": "inspect", "show": "inspect", "check": "verify", "compare": "diff"},
)
def ckpt() -> None:
    """Verify, list or compare checkpoints.

    Formats: torch.distributed.checkpoint, safetensors (single file, several with an index, or written by DCP),
    torch.save files (also old ones and whole modules), and folders of such files, one per rank or one each for model,
    optimizer and random states. Nothing in a checkpoint is executed, and no process group is created. A file that is
    not read is listed.

    A path may be an address: s3://bucket/run/step_1000, gs://, az://, or any other that fsspec supports (extra
    `stores`).
    """
    Memory.is_limited = True
    forget()


@ckpt.command()
@click.argument("path", type=_ADDRESS)
@_JSON
@_HTML
def inspect(path: Path, as_json: bool, page: Path | None) -> None:
    """List the tensors, chunks and files of a checkpoint.

    Only metadata and headers are read. Exit code 2 if they cannot be.
    """
    with _errors():
        checkpoint = load(path)
        if page is not None:
            atomic.write(page, of_listing(checkpoint))
        click.echo(json.dumps(show.listed(checkpoint), indent=2) if as_json else "\n".join(show.listing(checkpoint)))


@ckpt.command()
@click.argument("path", type=_ADDRESS)
@click.option("--headers", is_flag=True, help="Read metadata and headers only: fast, but no values are checked.")
@click.option(
    "--consolidated", type=_ADDRESS, help="Compare with a file, or files with an index, made from this checkpoint."
)
@click.option("--world-size", type=click.IntRange(min=1), help="Check that this many ranks can load it.")
@click.option(
    "--manifest",
    "manifest_file",
    type=_ADDRESS,
    help=f"Manifest of the save. [default: {manifest.NAME} in the checkpoint]",
)
@click.option(
    "--engine",
    metavar="MASTER",
    help="Read on a Spark cluster: spark://HOST:7077, yarn, k8s://...; local[4]: four processes on this machine.",
)
@click.option("--partial", is_flag=True, help="Exit with 0 even if a part was not read, as long as the rest is sound.")
@click.option("--write-manifest", is_flag=True, help="Write a manifest into the checkpoint if it is sound.")
@_JSON
@_HTML
def verify(
    path: Path,
    headers: bool,
    consolidated: Path | None,
    world_size: int | None,
    manifest_file: Path | None,
    engine: str | None,
    partial: bool,
    write_manifest: bool,
    as_json: bool,
    page: Path | None,
) -> None:
    """Check that a checkpoint is complete and undamaged.

    The files have to come from one save, and to agree with a consolidated file if one is given. Exit codes: 0 if it is
    sound and was read completely; 1 if it is damaged, or a part was not read (`--partial` accepts that); 2 if there is
    nothing to check.
    """
    with _errors():
        resolver = Resolver()
        settings = resolver.settings(Path.cwd())
        for problem in resolver.problems:
            click.echo(f"error: {problem}", err=True)
        with _engine(engine) as where, _bar(path, hidden=as_json or where is not HERE) as progress:
            wanted = Wanted(headers, consolidated, world_size, manifest_file, settings.per_rank_tensors, where)
            report = audit(path, wanted, progress)
        if page is not None and report.checkpoint is not None:
            atomic.write(page, of_report(report, report.checkpoint))
        if write_manifest and not path.is_dir():
            raise click.UsageError("--write-manifest needs a directory: the manifest is written into it")
        if write_manifest and report.is_sound and report.is_complete and report.checkpoint is not None:
            with opened(path) as (side, _):
                manifest.write(side.checkpoint.folder, manifest.make(side, {}))
    click.echo(json.dumps(show.as_dict(report), indent=2) if as_json else "\n".join(show.text(report, wanted)))
    sys.exit(0 if report.is_sound and (report.is_complete or partial) else 1)


@ckpt.command()
@click.argument("first", type=_ADDRESS)
@click.argument("second", type=_ADDRESS)
@click.option("--headers", is_flag=True, help="Trust the checksums that the files hold, instead of computing them.")
@_JSON
def diff(first: Path, second: Path, headers: bool, as_json: bool) -> None:
    """Compare two checkpoints tensor by tensor.

    Formats and sharding may differ. Exit codes: 0 if they are equal; 1 if they differ, or a part of them cannot be read
    or compared; 2 if one of them is not a checkpoint, or nothing in them can be compared.
    """
    with _errors(), opened(first) as (one, wrong), opened(second) as (two, also_wrong):
        one, two = alike(one, two)
        with _bar(first, hidden=as_json) as progress:
            found = list(compare(one, two, progress))
            problems = [*wrong, *also_wrong]
            for side in (*one.parts, *two.parts):
                problems += side.checkpoint.problems
                swept = () if headers else sweep(side.checkpoint, side.values, side.files, progress).problems
                problems += swept
                found += damaged(found, one, two, [(side, problem) for problem in swept])
        problems = [problem for problem in problems if problem.severity == "error"]
        for problem in problems:
            click.echo(show.line(problem), err=True)
        if as_json:
            rows = [
                {"kind": d.kind, "first": d.first or None, "second": d.second or None, "text": d.text} for d in found
            ]
            click.echo(json.dumps(rows, indent=2))
        else:
            how = correspondence(paired(one.checkpoint, two.checkpoint, (one, two)))
            click.echo("\n".join(show.differences(found, one.checkpoint, two.checkpoint, how)))
        is_nothing = [item.kind for item in found] == ["cannot be compared"] and not found[0].first
        sys.exit(2 if is_nothing else int(bool(found or problems)))


@contextmanager
def _engine(master: str | None) -> Iterator[Engine]:
    if not master:
        yield HERE
        return
    from .cluster import connected

    with connected(master) as engine:
        yield engine


@contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except (CheckpointError, OSError) as error:
        click.echo(show.row(f"error: {reason(error)}"), err=True)
        sys.exit(2)


@contextmanager
def _bar(path: Path, *, hidden: bool) -> Iterator[Progress]:
    """A bar of bytes on a terminal."""
    if hidden or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    try:
        total = load(path).bytes
    except CheckpointError:
        total = 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("Reading", total=total)
        yield lambda count: progress.advance(task, count)
