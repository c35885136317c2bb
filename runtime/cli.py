"""`collectivelint trace` and `collectivelint report`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from . import compare, explain, flight, launch, ring
from .statistics import Statistics


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
@click.option(
    "--hint-after",
    type=click.FloatRange(min=0.5),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="Say where a rank is that others have waited for so long.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
def trace(out_dir: Path, on_divergence: str, hint_after: float, command: tuple[str, ...]) -> None:
    """Run a job under the tracer: collectivelint trace [OPTIONS] -- torchrun ... train.py.

    The script is not changed. When ranks diverge, both call sites are reported within seconds and the job is stopped; the
    exit code is 1 then, otherwise the job's own. 2 if the command cannot be run.
    """
    try:
        outcome = launch.run(
            command,
            out_dir,
            lambda text: click.echo(text, err=True, nl=False),
            hint_after=hint_after,
            abort=on_divergence == "abort",
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
    click.echo(f"collectivelint: trace in {out_dir}", err=True)
    sys.exit(outcome.code)


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
    if output_format == "json":
        data = {"divergence": explain.as_dict(divergence) if divergence is not None else None, **numbers.as_dict()}
        click.echo(json.dumps(data, indent=2))
    else:
        click.echo(explain.text(divergence) if divergence is not None else "No divergence.\n")
        click.echo("\n".join(numbers.text()))
    sys.exit(1 if divergence is not None else 0)
