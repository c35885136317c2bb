"""`collectivelint confirm`: static findings beside what a traced job did."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectivelint.engine import Linter
from collectivelint.settings import Resolver, SettingsError

from . import ring
from .confirm import Run

if TYPE_CHECKING:
    from .confirm import Confirmation, Unseen


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option(
    "--trace",
    "trace_dir",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="What `collectivelint trace` has left.",
)
@click.option("--output-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
def confirm(paths: tuple[Path, ...], trace_dir: Path, output_format: str) -> None:
    """Say of each finding in PATHS whether a traced job confirms it, and what it ran that the linter cannot see.

    Exit codes: 0 nothing is confirmed, 1 a finding is, 2 the trace or the files cannot be read.
    """
    try:
        run = Run(ring.load(trace_dir))
    except ring.TraceError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    resolver = Resolver({})
    linter = Linter(resolver)
    try:
        result = linter.run(list(paths))
    except SettingsError as error:
        for problem in error.problems:
            click.echo(f"error: {problem}", err=True)
        sys.exit(2)
    found = list(run.confirm(result.findings))
    known: dict[str, set[int]] = {path: set() for path in linter.paths(list(paths))}
    for call in linter.analysis(list(paths)).calls():
        known.setdefault(call.function.path, set()).update(range(call.span.line, call.span.end_line + 1))
    unseen = run.unseen(known)
    if output_format == "json":
        click.echo(json.dumps(_as_dict(found, unseen), indent=2))
    else:
        click.echo(_text(found, unseen), nl=False)
    for problem in result.errors:
        click.echo(f"error: {problem}", err=True)
    if result.errors:
        sys.exit(2)
    sys.exit(int(any(item.outcome == "confirmed" for item in found)))


def _text(found: list[Confirmation], unseen: list[Unseen]) -> str:
    lines = []
    order = {"confirmed": 0, "not executed": 1, "uniform": 2}
    for item in sorted(found, key=lambda item: order[item.outcome]):
        finding = item.finding
        where = f"{finding.path}:{finding.location.row}:{finding.location.column}"
        lines.append(f"{item.outcome:<12}  {where}: {finding.code} [{finding.name}] {finding.message}")
        if item.event is not None:
            absent = ", ".join(map(str, item.absent))
            rank = item.event.rank
            lines.append(
                f"{'':<12}  rank {rank} called {item.event.op} on the {item.event.group} (#{item.event.sequence}); "
                f"not so rank{'s' * (len(item.absent) > 1)} {absent}"
            )
        elif item.outcome == "uniform":
            lines.append(f"{'':<12}  in {item.calls} call{'s' * (item.calls != 1)} all ranks did the same")
    counts = {outcome: sum(item.outcome == outcome for item in found) for outcome in order}
    lines.append(
        f"{counts['confirmed']} confirmed, {counts['uniform']} observed uniform, {counts['not executed']} not executed."
    )
    if unseen:
        lines += [
            "",
            "Collectives that ran where the linter sees none; to teach it, see `collectivelint.toml`, `catalog`:",
        ]
        lines += [
            f"  {item.path}:{item.line}  {item.function}: {item.text}   ({', '.join(item.ops)}; {item.calls} calls)"
            for item in unseen
        ]
    return "\n".join(lines) + "\n"


def _as_dict(found: list[Confirmation], unseen: list[Unseen]) -> dict[str, Any]:
    return {
        "findings": [
            {
                "code": item.finding.code,
                "path": item.finding.path,
                "row": item.finding.location.row,
                "column": item.finding.location.column,
                "message": item.finding.message,
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
