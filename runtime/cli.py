"""`collectivelint trace` and `collectivelint watch`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import click

from collectivelint.cli.words import Word
from collectivelint.printable import one_line

from .afterwards import group_usage
from .beside import closing, launch, watch
from .beside.live_page import LivePage
from .checkpoint import records
from .environment import DEFAULT_FOLDER
from .options import NamedPath, TraceFolder, refuse_unknown
from .report import expected_groups, report, warn
from .say import echo, reason
from .traces import folders, jobs
from .traces.model import Trace
from .traces.ring import TraceError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["report", "trace", "watch_command"]

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
    default=Path(DEFAULT_FOLDER),
    show_default=True,
    help="Folder for traces: each run gets a new folder in it.",
)
@click.option(
    "--on-divergence",
    type=Word(["abort", "report"]),
    default="abort",
    show_default=True,
    help="On a divergence, stop the job or only report it.",
)
@_HINT_AFTER
@click.option("--read-back", is_flag=True, help="Read each checkpoint back after it is saved, and compare the values.")
@click.option(
    "--check-data",
    is_flag=True,
    help="Also compare which parameters the ranks pass to a call, DDP's included, and checksums of results that have to be equal.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED, required=True, metavar="-- COMMAND...")
@click.pass_context
def trace(
    ctx: click.Context,
    out_dir: Path,
    on_divergence: str,
    hint_after: float,
    read_back: bool,
    check_data: bool,
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
    expected = expected_groups()
    try:
        outcome = launch.run(
            command,
            out_dir,
            _say,
            hint_after=hint_after,
            abort=on_divergence == "abort",
            read_back=read_back,
            check_data=check_data,
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
        problems = [f"its trace cannot be read ({type(error).__name__}: {error})"]
    closing.conclude(outcome, problems)
    sys.exit(outcome.code or int(bool(problems)))


def _told(outcome: launch.Outcome, expected: Mapping[str, Collection[str]]) -> list[str]:
    """Print the checkpoint records and group problems of a run; return each kind of problem in a few words."""
    unexpected = _has_unexpected_groups(outcome, expected) if expected else False
    unreadable: list[str] = []
    saved = records.read(outcome.folder, unreadable=unreadable)
    warn(unreadable)
    wrong = sum(bool(record.get("wrong")) for record in saved)
    for line in records.text(saved):
        echo(line, err=True, fg="red" if wrong else None)
    if outcome.folder.is_dir():
        echo(f"collectivelint: trace in {outcome.folder}", err=True)
    problems = [f"{wrong} checkpoint{' loses' if wrong == 1 else 's lose'} data"] * bool(wrong)
    return [*problems, *["the groups are not those expected"] * unexpected, *outcome.absent.wrong]


def _has_unexpected_groups(outcome: launch.Outcome, expected: Mapping[str, Collection[str]]) -> bool:
    """Say which groups of the main job are not those expected."""
    trace, of = Trace(), ""
    if outcome.judged:
        main = jobs.main_of([item.job for item in outcome.judged])
        trace = main.trace([])
        of = next((f" of {item.name}" for item in outcome.judged if item.job is main and item.name), "")
    found = list(group_usage.unexpected(group_usage.uses(trace), expected))
    for problem in found:
        echo(f"GROUPS{of}: {one_line(problem)}", err=True, fg="red")
    return bool(found)


def _interrupt(number: int, _: object) -> NoReturn:
    raise KeyboardInterrupt(number)


@click.command("watch")
@_HINT_AFTER
@click.option(
    "--on-divergence",
    type=Word(["abort", "report"]),
    default="report",
    show_default=True,
    help="On a divergence, stop the ranks or only report it.",
)
@click.option(
    "--html",
    "page",
    type=NamedPath(dir_okay=False),
    help="Write the page of `report --html` to this file, and keep it up to date until the job ends.",
)
@click.argument("trace_dir", type=TraceFolder())
def watch_command(trace_dir: Path, on_divergence: str, hint_after: float, page: Path | None) -> None:
    """Compare the ranks of a running job until it ends.

    TRACE_DIR is the folder of a run, or a folder of runs: then the newest one that is running is watched. Exit code 1 if the
    ranks of a job diverge.
    """
    running = [run for run in (folders.runs(trace_dir) or [trace_dir]) if watch.living(run)]
    if not running:
        raise click.UsageError(
            f"no process of this host writes to {trace_dir} now; `collectivelint report` reads what is there"
        )
    if page is not None and not page.absolute().parent.is_dir():
        raise click.UsageError(f"--html: {page.parent}: no such folder")
    run, *others = running
    if run != trace_dir:
        echo(f"collectivelint: watching {run}" + (f" (also running: {len(others)})" if others else ""), err=True)
    shown = LivePage(run, page, _say) if page is not None else None
    if shown is not None:
        # However the watching ends, the page says then that it is not kept any more.
        signal.signal(signal.SIGTERM, _interrupt)
    try:
        judged = watch.attend(
            run,
            _say,
            hint_after=hint_after,
            abort=on_divergence == "abort",
            meanwhile=shown.look if shown is not None else lambda: None,
        )
    except KeyboardInterrupt as stopped:
        echo("collectivelint: no longer watched; the job goes on", err=True)
        if shown is not None:
            shown.finish()
        sys.exit(128 + (stopped.args[0] if stopped.args else signal.SIGINT))
    echo("collectivelint: all traced ranks on this host have ended", err=True)
    closing.tell(judged, [], err=True)
    is_written = shown is None or shown.finish()
    sys.exit(1 if any(item.divergence is not None for item in judged) else 2 * (not is_written))
