"""Starting on code that has findings already: baselines, and comments that silence what is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import baseline
from ..printable import printable
from .messages import error as complain
from .messages import warning

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..engine import Linter, Result
    from ..finding import Finding


def without_known(result: Result, linter: Linter, file: Path) -> tuple[Result, bool]:
    """The result without what a baseline knows; entries that nobody found are told, and are no failure."""
    try:
        known = baseline.read(file)
    except baseline.BaselineError as error:
        complain(error)
        return result, True
    compared = baseline.compare(result.findings, known, linter.line, str(file.parent.resolve()))
    for (code, path, function, text), count in compared.unused:
        where = f"{path} {function}".rstrip()
        times = f" ({count} times)" if count > 1 else ""
        warning(f"{file}: {code} in {where} is not found any more{times}: {text}")
    if compared.unused:
        warning("--write-baseline writes the baseline anew, without these")
    return replace(result, findings=compared.new), False


def write_baseline(result: Result, linter: Linter, file: Path, *, follow: bool) -> bool:
    """Write all findings to a baseline; whether it failed."""
    try:
        count = baseline.write(file, result.findings, linter.line, follow=follow)
    except baseline.BaselineError as error:
        complain(error)
        return True
    click.echo(f"Wrote {count} finding{'s' * (count != 1)} to {printable(str(file))}.")
    return False


def add_ignores(findings: Sequence[Finding], linter: Linter, reason: str, targets: Sequence[Path]) -> tuple[int, bool]:
    """Put a comment that silences them behind the lines of the findings; how many are silenced, and any failure."""
    from ..fixes.apply import FixError, fixed, write
    from ..fixes.ignores import with_ignores
    from ..fixes.links import outside

    silenced, failed = 0, False
    paths = list(dict.fromkeys(finding.path for finding in findings if finding.code != "CL000"))
    left_alone = outside(paths, targets)
    for message in left_alone.values():
        warning(message)
    for path in paths:
        if path in left_alone:
            continue
        some = [finding for finding in findings if finding.path == path and finding.code != "CL000"]
        source = linter.source(path)
        edits, done = with_ignores(source, some, reason)
        try:
            if edits:
                write(Path(path), source, fixed(source, edits))
        except FixError as error:
            complain(error)
            failed = True
            continue
        silenced += done
        left = len(some) - done
        if left:
            warning(f"{path}: {left} of {len(some)} cannot be silenced by a comment on their line")
    return silenced, failed
