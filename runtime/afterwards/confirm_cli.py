"""`collectivelint confirm`: compare static findings with the calls of a traced job."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from collectivelint.analysis.effects import events
from collectivelint.cli.words import Word
from collectivelint.engine import Linter
from collectivelint.findings.confidence import CONFIDENCES, confidence_of
from collectivelint.printable import one_line
from collectivelint.report.sureness import title
from collectivelint.settings import Resolver, SettingsError

from ..options import TraceFolder
from ..say import echo, reason
from ..traces import folders, jobs
from ..traces.ring import TraceError
from .confirm import Run

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .confirm import Confirmation, Outcome, Unseen

#: What one job says before what another does.
_STRENGTH: Final[tuple[Outcome, ...]] = ("confirmed", "uniform", "not executed")


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trace",
    "trace_dir",
    required=True,
    type=TraceFolder(),
    help="The folder that `collectivelint trace` wrote to, or that of one run in it; by default its newest run.",
)
@click.option("--output-format", type=Word(["text", "json"]), default="text", show_default=True)
@click.option(
    "--min-confidence",
    type=Word(CONFIDENCES),
    help="Mark findings of this confidence and above; those below only where they are confirmed. [default: medium]",
)
def confirm(paths: tuple[Path, ...], trace_dir: Path, output_format: str, min_confidence: str | None) -> None:
    """Mark each finding in PATHS as confirmed, uniform or not executed in a traced job, and list what the linter cannot see.

    PATHS are files and folders. Every job and attempt of the run counts. Findings of low confidence are listed where the run
    confirms them. Exit codes: 0 no finding is confirmed, 1 a finding is, 2 the trace or the files cannot be read.
    """
    folder = folders.newest(trace_dir)
    unreadable: list[str] = []
    try:
        recorded = jobs.read(folder, unreadable)
    except (TraceError, OSError) as error:
        echo(f"error: {one_line(reason(error))}", err=True)
        sys.exit(2)
    resolver = Resolver({"min_confidence": confidence_of(min_confidence)} if min_confidence else {})
    linter = Linter(resolver)
    try:
        result = linter.run(list(paths))
    except SettingsError as error:
        for problem in error.problems:
            echo(f"error: {problem}", err=True)
        sys.exit(2)
    known = _known(linter, list(paths))
    by_job: list[list[Confirmation]] = []
    unseen: list[Unseen] = []
    is_in = False
    for job in recorded:
        # One after another: the events of a long sweep would not fit into memory together.
        run = Run(job.trace(unreadable))
        by_job.append(list(run.confirm([*result.findings, *result.hidden])))
        unseen = _merged([*unseen, *run.unseen(known)])
        is_in = is_in or run.is_in(known)
    for problem in unreadable:
        echo(f"error: {one_line(problem)}; what follows covers the other ranks only", err=True)
    everything = [_strongest(several) for several in zip(*by_job, strict=True)]
    found = everything[: len(result.findings)]
    found += (item for item in everything[len(result.findings) :] if item.outcome == "confirmed")
    if output_format == "json":
        click.echo(json.dumps({**_as_dict(found, unseen), "run": str(folder), "jobs": len(recorded)}, indent=2))
    else:
        if folder != trace_dir:
            echo(f"Run: {folders.described(trace_dir, folder)}\n")
        if len(recorded) > 1:
            echo(f"Jobs and attempts of the run: {len(recorded)}\n")
        echo(_text(found, unseen), nl=False)
    if not is_in:
        echo("note: no call of the run was made in these files; name the files that the job ran", err=True)
    for problem in result.errors:
        echo(f"error: {problem}", err=True)
    if result.errors or unreadable:
        sys.exit(2)
    sys.exit(int(any(item.outcome == "confirmed" for item in found)))


def _strongest(several: Sequence[Confirmation]) -> Confirmation:
    """One confirmation of a finding over all jobs: confirmed if any job confirms it, with the calls of all added up."""
    strongest = min(several, key=lambda item: _STRENGTH.index(item.outcome))
    return replace(strongest, calls=sum(item.calls for item in several))


def _merged(unseen: Iterable[Unseen]) -> list[Unseen]:
    """One entry per call site, the most calls first."""
    found: dict[tuple[str, int], Unseen] = {}
    for item in unseen:
        known = found.get((item.path, item.line))
        if known is not None:
            item = replace(item, ops=tuple(sorted({*known.ops, *item.ops})), calls=known.calls + item.calls)
        found[(item.path, item.line)] = item
    return sorted(found.values(), key=lambda item: -item.calls)


def _known(linter: Linter, paths: list[Path]) -> dict[str, set[int]]:
    """For each file, the lines of calls that the linter takes for collectives, or that make some: DDP's forward."""
    known: dict[str, set[int]] = {path: set() for path in linter.paths(paths)}
    analysis = linter.analysis([Path(path) for path in known])
    for call in analysis.calls():
        known.setdefault(call.function.path, set()).update(range(call.span.line, call.span.end_line + 1))
    for facts in analysis.functions:
        for event in events(facts.term):
            if not event.chain:
                known.setdefault(event.path, set()).update(range(event.span.line, event.span.end_line + 1))
    return known


def _text(found: list[Confirmation], unseen: list[Unseen]) -> str:
    lines = []
    order = {"confirmed": 0, "not executed": 1, "uniform": 2}
    for item in sorted(found, key=lambda item: order[item.outcome]):
        finding = item.finding
        where = f"{finding.path}:{finding.location.row}:{finding.location.column}"
        lines.append(f"{item.outcome:<12}  {where}: {title(finding)} {finding.message}")
        if item.event is not None:
            absent = ", ".join(map(str, item.absent))
            rank = item.event.rank
            who = f"ranks {absent}" if len(item.absent) > 1 else f"rank {absent}"
            lines.append(
                f"{'':<12}  rank {rank} called {item.event.op} on the {item.event.group} (#{item.event.sequence}); "
                f"{who} did not"
            )
        elif item.outcome == "uniform":
            lines.append(f"{'':<12}  in {item.calls} call{'s' * (item.calls != 1)} every rank did the same")
    counts = {outcome: sum(item.outcome == outcome for item in found) for outcome in order}
    lines.append(
        f"{counts['confirmed']} confirmed, {counts['uniform']} observed uniform, {counts['not executed']} not executed."
    )
    if unseen:
        lines += [
            "",
            "Collectives that ran at lines where the linter knows of none (describe calls of your own framework in a catalogue file: `catalog-files`):",
        ]
        lines += [
            f"  {item.path}:{item.line}  {item.function}: {item.text}   ({', '.join(item.ops)}; {item.calls} call{'s' * (item.calls != 1)})"
            for item in unseen
        ]
    return "".join(f"{one_line(line)}\n" for line in lines)


def _as_dict(found: list[Confirmation], unseen: list[Unseen]) -> dict[str, Any]:
    return {
        "findings": [
            {
                "code": item.finding.code,
                "path": item.finding.path,
                "row": item.finding.location.row,
                "column": item.finding.location.column,
                "message": item.finding.message,
                "confidence": item.finding.confidence.word,
                "outcome": item.outcome,
                "calls": item.calls,
                "absent": list(item.absent),
            }
            for item in found
        ],
        "unseen": [
            {
                "path": item.path,
                "line": item.line,
                "function": item.function,
                "ops": list(item.ops),
                "calls": item.calls,
            }
            for item in unseen
        ],
    }
