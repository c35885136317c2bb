"""Starting on code that has findings already: baselines, and comments that silence what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import baseline

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine import Linter, Result
    from ..finding import Finding


def without_known(result: Result, linter: Linter, file: Path) -> tuple[Result, bool]:
    """The result without what a baseline knows; entries that nobody found are told, and are no failure."""
    try:
        known = baseline.read(file)
    except baseline.BaselineError as error:
        click.echo(f"error: {error}", err=True)
        return result, True
    compared = baseline.compare(result.findings, known, linter.line, str(file.parent.resolve()))
    for (code, path, function, text), count in compared.unused:
        where = f"{path} {function}".rstrip()
        times = f" ({count} times)" if count > 1 else ""
        click.echo(f"warning: {file}: {code} in {where} is not found any more{times}: {text}", err=True)
    if compared.unused:
        click.echo("warning: --write-baseline writes the baseline anew, without these", err=True)
    return replace(result, findings=compared.new), False


def write_baseline(result: Result, linter: Linter, file: Path) -> bool:
    """Write all findings to a baseline; whether it failed."""
    try:
        count = baseline.write(file, result.findings, linter.line)
    except baseline.BaselineError as error:
        click.echo(f"error: {error}", err=True)
        return True
    click.echo(f"Wrote {count} finding{'s' * (count != 1)} to {file}.")
    return False


def add_ignores(findings: Sequence[Finding], linter: Linter, reason: str) -> tuple[int, bool]:
    """Put a comment that silences them behind the lines of the findings; how many are silenced, and any failure."""
    from ..fixes.apply import FixError, fixed, write
    from ..fixes.ignores import with_ignores

    silenced, failed = 0, False
    for path in dict.fromkeys(finding.path for finding in findings):
        some = [finding for finding in findings if finding.path == path and finding.code != "CL000"]
        source = linter.source(path)
        edits, done = with_ignores(source, some, reason)
        try:
            if edits:
                write(Path(path), source, fixed(source, edits))
        except FixError as error:
            click.echo(f"error: {error}", err=True)
            failed = True
            continue
        silenced += done
        left = len(some) - done
        if left:
            click.echo(
                f"warning: {path}: {left} of {len(some)} cannot be silenced by a comment on their line", err=True
            )
    return silenced, failed
