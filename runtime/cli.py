"""`collectivelint trace` and `collectivelint report`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from collectivelint.settings import Resolver

from . import compare, explain, flight, launch, membership, ring, watch
from .checkpoint import records
from .statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Iterator


_HINT_AFTER: Final = click.option(
    "--hint-after",
    type=click.FloatRange(min=0.5),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Say where a rank is that others have waited for so long.",
)


def _say(text: str) -> None:
    click.echo(text, err=True, nl=False)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--out-dir",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("collectivelint-trace"),
    show_default=True,
    help="Where the trace goes; an earlier trace there is replaced.",
)
@click.option(
    "--on-divergence",
    type=click.Choice(["abort", "report"]),
    default="abort",
    show_default=True,
    help="Stop the job when its ranks have diverged, or let it go on.",
)
@_HINT_AFTER
@click.option(
    "--read-back", is_flag=True, help="Read checkpoints again when they were saved, and compare what is loaded."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def trace(out_dir: Path, on_divergence: str, hint_after: float, read_back: bool, command: tuple[str, ...]) -> None:
    """Run a job under the tracer: collectivelint trace [OPTIONS] -- torchrun ... train.py.

    The script is not changed. When ranks diverge, both call sites are reported within seconds and the job is stopped. When a
    checkpoint is about to keep one rank's values only, that is reported before it is written. The exit code is 1 then, otherwise
    the job's own; 2 if the command cannot be run.
    """
    try:
        outcome = launch.run(
            command,
            out_dir,
            _say,
            hint_after=hint_after,
            abort=on_divergence == "abort",
            read_back=read_back,
        )
    except launch.CannotStartError as error:
        raise click.UsageError(str(error)) from None
    except (ring.TraceError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    if outcome.divergence is None and outcome.trace.ranks:
        calls = sum(len(rank.events) for rank in outcome.trace.ranks.values())
        click.echo(f"collectivelint: {calls} calls of {len(outcome.trace.ranks)} ranks, no divergence", err=True)
    elif outcome.divergence is None:
        click.echo("collectivelint: nothing was traced; no process called init_process_group", err=True)
    unexpected = list(_unexpected(membership.uses(outcome.trace)))
    for problem in unexpected:
        click.echo(f"GROUPS: {problem}", err=True)
    saved = records.read(out_dir)
    for line in records.text(saved):
        click.echo(line, err=True)
    click.echo(f"collectivelint: trace in {out_dir}", err=True)
    sys.exit(outcome.code or int(bool(unexpected) or any(record.get("wrong") for record in saved)))


def _unexpected(uses: list[membership.Use]) -> Iterator[str]:
    """How the groups differ from those that the configuration of the current folder expects."""
    if not uses:
        return
    resolver = Resolver()
    expected = resolver.settings(Path.cwd()).expected_groups
    for problem in resolver.problems:
        click.echo(f"error: {problem}", err=True)
    yield from membership.unexpected(uses, expected)


@click.command("watch")
@_HINT_AFTER
@click.option(
    "--on-divergence",
    type=click.Choice(["abort", "report"]),
    default="report",
    show_default=True,
    help="Let the job go on when its ranks have diverged, or end its ranks.",
)
@click.argument("trace_dir", type=click.Path(path_type=Path, exists=True, file_okay=False))
def watch_command(trace_dir: Path, on_divergence: str, hint_after: float) -> None:
    """Compare the ranks of a job that runs already and is traced into TRACE_DIR, until it ends; exit code 1 if they diverge."""
    if not watch.living(trace_dir):
        raise click.UsageError(
            f"no process of this host writes to {trace_dir} now; `collectivelint report` reads what is there"
        )
    found = watch.attend(trace_dir, _say, hint_after=hint_after, abort=on_divergence == "abort")
    click.echo("collectivelint: the ranks have ended" + (", no divergence" if found is None else ""), err=True)
    sys.exit(int(found is not None))


@click.command()
@click.argument("trace_dir", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--export-fr",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write dumps that torch's own analyser of the Flight Recorder reads into this folder.",
)
def report(trace_dir: Path, output_format: str, export_fr: Path | None) -> None:
    """Explain what a traced job did; exit code 1 if its ranks diverged.

    TRACE_DIR is what `collectivelint trace` has left, or has the dumps of torch's Flight Recorder, one for each rank.
    """
    try:
        found = ring.load(trace_dir) if ring.files(trace_dir) else flight.load(trace_dir)
        if export_fr is not None:
            flight.export(found, export_fr)
    except (ring.TraceError, OSError) as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    divergence = compare.compare(found, over=True)
    numbers = Statistics(found)
    groups = membership.uses(found)
    unexpected = list(_unexpected(groups))
    saved = records.read(trace_dir)
    if output_format == "json":
        data = {
            "divergence": explain.as_dict(divergence) if divergence is not None else None,
            "unexpected_groups": unexpected,
            "groups": membership.as_dicts(groups),
            "checkpoints": saved,
            **numbers.as_dict(),
        }
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(explain.text(divergence) if divergence is not None else "No divergence.\n")
        click.echo("".join(f"GROUPS: {problem}\n" for problem in unexpected), nl=False)
        click.echo("\n".join([*numbers.text(), "", *membership.text(groups)]))
        click.echo("".join(f"{line}\n" for line in records.text(saved)), nl=False)
    sys.exit(int(divergence is not None or bool(unexpected) or any(record.get("wrong") for record in saved)))
