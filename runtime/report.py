"""`collectivelint report`: what the jobs of a run did, and the verdict on each."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectivelint import atomic
from collectivelint.cli.words import Word
from collectivelint.printable import one_line
from collectivelint.settings import Resolver

from . import large, of_tables
from .afterwards import flight_recorder, group_usage
from .afterwards.jobs_of import jobs_of
from .afterwards.picture import write
from .afterwards.picture.model import picture
from .afterwards.picture.packed import FromTrace
from .afterwards.statistics import Statistics
from .afterwards.tables import engines, schema
from .beside import closing, judging
from .beside.absent import of_run
from .beside.liveness import alive, lives_here
from .checkpoint import records
from .environment import STOPPED
from .options import NamedPath, TraceFolder
from .say import echo, reason
from .traces import folders, jobs, run_end
from .traces.model import Trace
from .traces.ring import TraceError
from .verdict import matching
from .verdict.meetings import meetings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from .afterwards.picture.packed import Source
    from .afterwards.tables.numbers import Analysed
    from .beside.absent import Absent
    from .beside.judging import Judged
    from .traces.jobs import Job
    from .traces.run_end import RunEnd


@dataclass(frozen=True, slots=True)
class _Part:
    """The report on one job, without its events: those of all jobs together may not fit into memory.

    `unexpected`: how its groups differ from the configured ones; `data`: its tables, for JSON; `section`: its part of
    the page, None if no page is written; `slow`: its slow ranks, in a few words.
    """

    judged: Judged
    unexpected: list[str]
    data: dict[str, Any]
    section: write.Section | None
    slow: list[str]


@click.command()
@click.argument("trace_dir", type=TraceFolder())
@click.option("--output-format", type=Word(["text", "json"]), default="text", show_default=True)
@click.option(
    "--export-fr",
    type=NamedPath(file_okay=False),
    help="Write Flight Recorder dumps of the largest job into this folder, for torch's own analyser.",
)
@click.option(
    "--html",
    "page",
    type=NamedPath(dir_okay=False),
    help="Write an HTML page: the verdict, the calls of all ranks over time, stacks and tables.",
)
# What `watch --html` says of a page that it will have written again.
@click.option("--live", type=click.IntRange(min=0), default=0, hidden=True)
@click.option(
    "--parquet",
    type=NamedPath(file_okay=False),
    help="Write the calls of all jobs as Parquet tables into this folder, which is new or has such tables.",
)
@click.option(
    "--perfetto",
    type=NamedPath(dir_okay=False),
    help="Write the calls of all jobs to this file, for the Perfetto UI.",
)
@click.option(
    "--engine",
    metavar="ENGINE",
    callback=of_tables.known_engine,
    help="Compute the numbers with `duckdb`, on a Spark cluster (`spark://host:port`), or with Spark on this machine (`local[2]`).",
)
def report(
    trace_dir: Path,
    output_format: str,
    export_fr: Path | None,
    page: Path | None,
    live: int,
    parquet: Path | None,
    perfetto: Path | None,
    engine: str | None,
) -> None:
    """Explain what a traced job did; the verdict comes last.

    Exit codes: 1 if ranks of a job diverged, a checkpoint loses data or the groups are not those expected; 2 if the trace or
    the configuration cannot be read.

    TRACE_DIR is the folder of a run, one with runs below it (the newest is read), or one with the dumps of torch's Flight
    Recorder, one for each rank. It may be a folder of tables (see --parquet) too, for a run that is too large for this
    machine: there are numbers and groups in them, and no verdict.
    """
    if schema.version(trace_dir) is not None:
        needs = {"--export-fr": export_fr, "--html": page, "--parquet": parquet, "--perfetto": perfetto}
        of_tables.report(trace_dir, engine, output_format, [name for name, value in needs.items() if value is not None])
        return
    if live:
        # `watch` ends this process when it writes the last page: by an exception, so that no temporary file stays behind.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    expected = expected_groups()
    run = folders.newest(trace_dir)
    unreadable: list[str] = []
    try:
        found = jobs_of(run, unreadable)
        warn(reader.wrong for job in found for reader in job.readers if reader.wrong)
        if export_fr is not None:
            _export(found, export_fr)
        if perfetto is not None:
            of_tables.write_perfetto(found, perfetto)
        # An engine needs a fraction of the time and memory, but has no stacks, which a page shows.
        is_large = any(map(large.is_large, found))
        is_faster = is_large or (parquet is not None and page is None and engines.has_duckdb())
        analysed = of_tables.analysed(
            found, parquet, engine or (engines.DUCKDB if is_faster else None), is_drawn=is_large and page is not None
        )
    except (TraceError, OSError) as error:
        end = run_end.read(run)
        missing = of_run(run, Trace(), end.unrecorded if end is not None else ())
        closing.tell_missing(missing, err=output_format == "json")
        echo(f"error: {run}: nothing is recorded here" if missing.wrong else f"error: {reason(error)}", err=True)
        sys.exit(1 if missing.wrong else 2)
    is_text = output_format == "text"
    if is_text and run != trace_dir:
        echo(f"Run: {folders.described(trace_dir, run)}\n")
    stopped = (run / STOPPED).is_file()
    parts = _parts(found, expected, analysed, unreadable, stopped=stopped, is_text=is_text, is_page=page is not None)
    left_out: list[str] = []
    saved = records.read(*dict.fromkeys([run, *(part for job in found for part in job.folders)]), unreadable=left_out)
    warn(left_out)
    end = run_end.read(run)
    ignoring, goes_on = (end.unrecorded, bool(end.signals)) if end is not None else ((), False)
    missing = of_run(run, jobs.main_of(found).heads(), ignoring, goes_on=goes_on)
    if is_text:
        echo("".join(f"{line}\n" for line in records.text(saved)), nl=False)
    for problem in unreadable:
        echo(f"error: {one_line(problem)}; what follows covers the other ranks only", err=True)
    if is_text:
        closing.tell_missing(missing, err=False)
        ended = end.text() if end is not None else ""
        well = end is not None and end.code == 0
        slow = [line for part in parts for line in part.slow]
        closing.tell([part.judged for part in parts], [ended] * bool(ended), err=False, notes=slow, ended_well=well)
    else:
        click.echo(json.dumps(_as_dict(run, parts, saved, end, unreadable, missing), indent=2))
    if page is not None:
        label = run.name + (f"; {end.text()}" if end is not None and end.text() else "")
        problems = [*missing.wrong, *unreadable, *(line for part in parts for line in part.unexpected)]
        sections = [part.section for part in parts if part.section is not None]
        try:
            is_running = any(lives_here(reader) for job in found for reader in job.readers)
            state = write.State(live, is_running=is_running)
            atomic.write(page, write.page(label, sections, problems, missing.notes, records.text(saved), state))
        except OSError as error:
            echo(f"error: {reason(error)}", err=True)
            sys.exit(2)
    wrong = any(part.judged.divergence is not None or part.unexpected for part in parts) or bool(missing.wrong)
    sys.exit(1 if wrong or any(record.get("wrong") for record in saved) else 2 * bool(unreadable))


def _parts(
    found: list[Job],
    expected: Mapping[str, Collection[str]],
    analysed: Sequence[Analysed],
    unreadable: list[str],
    *,
    stopped: bool,
    is_text: bool,
    is_page: bool,
) -> list[_Part]:
    """Judge each job, print its tables if `is_text`, and draw it if `is_page`. `stopped`: the tracer ended the run.

    `analysed`: the analysis of each job by an engine; empty if it is computed here.
    """
    ends: dict[Path, RunEnd | None] = {}
    main = jobs.main_of(found)
    parts = []
    for index, (job, name) in enumerate(zip(found, jobs.names(found), strict=True)):
        is_large = bool(analysed) and large.is_large(job)
        part = large.part_of(job, analysed[index], unreadable) if is_large else None
        trace = part.trace if part is not None else job.trace(unreadable)
        met = meetings(trace) if part is None and (is_page or not analysed) else []
        if analysed:
            groups, numbers = analysed[index].uses, analysed[index].numbers
        else:
            groups, numbers = group_usage.uses(trace), Statistics(trace, met)
        unexpected = list(group_usage.unexpected(groups, expected)) if job is main else []
        if is_text:
            if name:
                echo(f"{name[0].upper()}{name[1:]}", bold=True)
            echo("".join(f"GROUPS: {one_line(problem)}\n" for problem in unexpected), nl=False)
            echo("\n".join([*numbers.text(stopped=stopped), "", *group_usage.text(groups), ""]))
        data = {} if is_text else {"groups": group_usage.as_dicts(groups), **numbers.as_dict()}
        judged = _judged(job, name, trace, ends)
        source: Source = FromTrace(trace, met)
        if part is not None:
            if judged.divergence is not None:
                trace = part.around(judged.divergence)
                judged = _judged(job, name, trace, ends)
            judged = large.counted(judged, part)
            source = large.drawn(job, trace, analysed[index], part) if is_page else source
        section = write.section(picture(judged, trace, source, numbers, groups)) if is_page else None
        # The first one costs most; others may be late because of it.
        slow = [f"rank {one.rank} is slow{f' in {name}' * bool(name)}, see SLOW above" for one in numbers.slow[:1]]
        parts.append(_Part(judged, unexpected, data, section, slow))
    return parts


def _judged(job: Job, name: str, trace: Trace, ends: dict[Path, RunEnd | None]) -> Judged:
    """The verdict on a job; if one of its processes still runs, only what is proved so far."""
    if any(map(lives_here, job.readers)):
        return judging.summed(job, name, trace, matching.compare(alive(trace), over=False))
    judged = judging.judge(job, name, trace, told=run_end.ended_from_outside(job, ends))
    return judging.timed(judged, [record for folder in job.folders for record in judging.read(folder)])


def _as_dict(
    run: Path,
    parts: list[_Part],
    saved: list[dict[str, Any]],
    end: RunEnd | None,
    unreadable: list[str],
    missing: Absent,
) -> dict[str, Any]:
    return {
        "version": judging.VERSION,
        "run": str(run),
        "stopped": (run / STOPPED).is_file(),
        "signals": list(end.signals) if end is not None else [],
        "exit_code": end.code if end is not None else None,
        "verdicts": judging.records([part.judged for part in parts]),
        "jobs": [
            {
                "job": judging.identity(part.judged.job, number, len(parts), part.judged.name),
                "diverged": part.judged.divergence is not None,
                "unexpected_groups": part.unexpected,
                "ended": closing.ended_badly(part.judged, ended_well=end is not None and end.code == 0),
                **part.data,
            }
            for number, part in enumerate(parts, 1)
        ],
        "missing": [*missing.wrong, *missing.notes],
        "checkpoints": saved,
        "unreadable": unreadable,
    }


def _export(found: list[Job], folder: Path) -> None:
    main = jobs.main_of(found)
    flight_recorder.export(main.trace([]), folder)
    if len(found) > 1:
        name = next(name for job, name in zip(found, jobs.names(found), strict=True) if job is main)
        echo(f"collectivelint: {folder} has the dumps of {name}", err=True)


def warn(problems: Iterable[str]) -> None:
    """Print a warning for each problem."""
    for problem in problems:
        echo(f"warning: {one_line(problem)}", err=True)


def expected_groups() -> Mapping[str, Collection[str]]:
    """The groups that the configuration of the current folder expects; exit if the configuration cannot be read."""
    resolver = Resolver()
    expected = resolver.settings(Path.cwd()).expected_groups
    for problem in resolver.problems:
        echo(f"error: {problem}", err=True)
    # A rule that is not installed here is the linter's trouble, and no reason not to run a job.
    if any(": unknown rule `" not in problem for problem in resolver.problems):
        sys.exit(2)
    return expected
