"""`collectivelint trace` and `collectivelint report`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from collectivelint.printable import one_line
from collectivelint.settings import Resolver

from .afterwards import flight_recorder, group_usage
from .afterwards.statistics import Statistics
from .beside import closing, launch, watch
from .beside.absent import of_run
from .checkpoint import records
from .environment import STOPPED
from .options import NamedPath, refuse_unknown
from .say import echo, reason
from .traces import folders, jobs
from .traces.model import Trace
from .traces.reader import ring_files
from .traces.ring import TraceError
from .verdict import explain, matching

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

_HINT_AFTER: Final = click.option(
    "--hint-after",
    type=click.FloatRange(min=0.5),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="After this many seconds of waiting, show where the missing rank is.",
)


def _say(text: str) -> None:
    echo(text, err=True, nl=False)


@click.command(context_settings={"ignore_unknown_options": True})
@click.option(
    "--out-dir",
    type=NamedPath(file_okay=False),
    default=Path("collectivelint-trace"),
    show_default=True,
    help="Each run gets a new folder below this one; nothing in it is replaced or removed.",
)
@click.option(
    "--on-divergence",
    type=click.Choice(["abort", "report"]),
    default="abort",
    show_default=True,
    help="Stop the job when its ranks have diverged, or only report it.",
)
@_HINT_AFTER
@click.option(
    "--read-back", is_flag=True, help="Read each checkpoint again after it was saved, and compare what is loaded."
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True)
@click.pass_context
def trace(
    ctx: click.Context,
    out_dir: Path,
    on_divergence: str,
    hint_after: float,
    read_back: bool,
    command: tuple[str, ...],
) -> None:
    """Run a job under the tracer: collectivelint trace [OPTIONS] -- torchrun ... train.py.

    The script is not changed. When ranks diverge, the call sites of both sides are reported within seconds and the job is
    stopped. A checkpoint that would keep only one rank's values is reported before it is written. The verdict is the last
    line.

    Exit codes: 1 if ranks diverged, a checkpoint loses data or the groups are not those expected; otherwise the job's own;
    2 if the command cannot be run, or the configuration or the trace cannot be read.
    """
    refuse_unknown(ctx, command)
    # Not when the job has ended: that may be days later.
    expected = _expected_groups()
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
    except (TraceError, OSError) as error:
        echo(f"error: {reason(error)}", err=True)
        sys.exit(2)
    try:
        problems = _told(outcome, expected)
    except Exception as error:
        # The exit code of the job is not lost because of it.
        problems = [f"what it has left cannot be read ({type(error).__name__}: {error})"]
    closing.conclude(outcome, problems)
    sys.exit(outcome.code or int(bool(problems)))


def _told(outcome: launch.Outcome, expected: Mapping[str, Collection[str]]) -> list[str]:
    """Say what a run has come to beside the verdict; in a few words each, what of it is wrong."""
    unexpected = list(group_usage.unexpected(group_usage.uses(outcome.trace), expected))
    for problem in unexpected:
        echo(f"GROUPS: {one_line(problem)}", err=True, fg="red")
    unreadable: list[str] = []
    saved = records.read(outcome.folder, unreadable=unreadable)
    _warn(unreadable)
    wrong = sum(bool(record.get("wrong")) for record in saved)
    for line in records.text(saved):
        echo(line, err=True, fg="red" if wrong else None)
    if outcome.folder.is_dir():
        echo(f"collectivelint: trace in {outcome.folder}", err=True)
    problems = [f"{wrong} checkpoint{' loses' if wrong == 1 else 's lose'} data"] * bool(wrong)
    return [*problems, *["the groups are not those expected"] * bool(unexpected), *outcome.absent.wrong]


def _warn(problems: list[str]) -> None:
    for problem in problems:
        echo(f"warning: {one_line(problem)}", err=True)


def _expected_groups() -> Mapping[str, Collection[str]]:
    """The groups that the configuration of the current folder expects; exit where it cannot be told which those are."""
    resolver = Resolver()
    expected = resolver.settings(Path.cwd()).expected_groups
    for problem in resolver.problems:
        echo(f"error: {problem}", err=True)
    # A rule that is not installed here is the linter's trouble, and no reason not to run a job.
    if any(": unknown rule `" not in problem for problem in resolver.problems):
        sys.exit(2)
    return expected


@click.command("watch")
@_HINT_AFTER
@click.option(
    "--on-divergence",
    type=click.Choice(["abort", "report"]),
    default="report",
    show_default=True,
    help="End the ranks when they have diverged, or only report it.",
)
@click.argument("trace_dir", type=NamedPath(exists=True, file_okay=False))
def watch_command(trace_dir: Path, on_divergence: str, hint_after: float) -> None:
    """Compare the ranks of a running job that is traced into TRACE_DIR, until it ends; exit code 1 if they diverge.

    TRACE_DIR is the folder of a run, or one with runs below it: then the newest that is running is watched.
    """
    running = [run for run in (folders.runs(trace_dir) or [trace_dir]) if watch.living(run)]
    if not running:
        raise click.UsageError(
            f"no process of this host writes to {trace_dir} now; `collectivelint report` reads what is there"
        )
    run, *others = running
    if run != trace_dir:
        echo(f"collectivelint: watching {run}" + (f" (also running: {len(others)})" if others else ""), err=True)
    found = watch.attend(run, _say, hint_after=hint_after, abort=on_divergence == "abort")
    about = closing.looked_at(watch.read(run)[0])
    if found is None:
        echo(f"collectivelint: no rank on this host is traced any more, no divergence in {about}", err=True, fg="green")
    else:
        echo(f"collectivelint: the ranks diverged, see above; compared {about}", err=True, fg="red")
    sys.exit(int(found is not None))


@click.command()
@click.argument("trace_dir", type=NamedPath(exists=True, file_okay=False))
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--export-fr",
    type=NamedPath(file_okay=False),
    help="Write Flight Recorder dumps into this folder; torch's own analyser reads them.",
)
def report(trace_dir: Path, output_format: str, export_fr: Path | None) -> None:
    """Explain what a traced job did.

    Exit codes: 1 if its ranks diverged, a checkpoint loses data or the groups are not those expected; 2 if the trace or the
    configuration cannot be read.

    TRACE_DIR is the folder of a run, one with runs below it (the newest is read), or one with the dumps of torch's Flight
    Recorder, one for each rank.
    """
    expected = _expected_groups()
    run = folders.newest(trace_dir)
    try:
        found, parts, unreadable = _loaded(run)
        if export_fr is not None:
            flight_recorder.export(found, export_fr)
    except (TraceError, OSError) as error:
        missing = of_run(run, Trace({}))
        closing.tell(missing, err=output_format == "json")
        echo(f"error: {run}: nothing is recorded here" if missing.wrong else f"error: {reason(error)}", err=True)
        sys.exit(1 if missing.wrong else 2)
    for problem in unreadable:
        echo(f"error: {one_line(problem)}; what follows is about the other ranks only", err=True)
    stopped = (run / STOPPED).is_file()
    divergence = matching.compare(found, over=True)
    missing = of_run(run, found)
    numbers = Statistics(found)
    groups = group_usage.uses(found)
    unexpected = list(group_usage.unexpected(groups, expected))
    left_out: list[str] = []
    saved = records.read(*parts, unreadable=left_out)
    _warn(left_out)
    if output_format == "json":
        data = {
            "divergence": explain.as_dict(divergence) if divergence is not None else None,
            "unexpected_groups": unexpected,
            "missing": [*missing.wrong, *missing.notes],
            "groups": group_usage.as_dicts(groups),
            "checkpoints": saved,
            **numbers.as_dict(),
            "run": str(run),
            "stopped": stopped,
            "unreadable": unreadable,
        }
        click.echo(json.dumps(data, indent=2))
    else:
        if run != trace_dir:
            echo(f"Run: {folders.described(trace_dir, run)}\n")
        if divergence is not None:
            headline, _, sides = explain.text(divergence).partition("\n")
            echo(headline, fg="red", bold=True)
            echo(sides)
        else:
            echo(f"No divergence in {closing.looked_at(found)}.\n", fg="green")
        closing.tell(missing, err=False)
        echo("".join(f"GROUPS: {one_line(problem)}\n" for problem in unexpected), nl=False)
        echo("\n".join([*numbers.text(stopped=stopped), "", *group_usage.text(groups)]))
        echo("".join(f"{line}\n" for line in records.text(saved)), nl=False)
    wrong = divergence is not None or bool(unexpected or missing.wrong) or any(record.get("wrong") for record in saved)
    sys.exit(1 if wrong else 2 * bool(unreadable))


def _loaded(run: Path) -> tuple[Trace, list[Path], list[str]]:
    """The trace of a run with the folders that it lies in, one for each launcher, and what of it cannot be read.

    Or the dumps of a folder.
    """
    unreadable: list[str] = []
    if not folders.is_run(run) and not ring_files(run):
        return flight_recorder.load(run), [run], unreadable
    parts = jobs.parts(run, unreadable)
    readers = [reader for some in parts.values() for reader in some]
    found = Trace(jobs.ranks(readers, unreadable))
    _warn([reader.wrong for reader in readers if reader.wrong])
    return found, list(parts), unreadable
