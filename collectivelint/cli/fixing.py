"""Applying fixes to the files of a run, or showing what they would change."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..engine import Linter, Result
    from ..finding import Finding
    from ..settings import Resolver
    from ..source import Source

#: A fix can bring up the next one; more rounds than this means that two fixes undo each other.
_MOST_ROUNDS = 10


@dataclass(slots=True)
class Fixed:
    """The last linter and result, the findings that were fixed, and whether something went wrong."""

    linter: Linter
    result: Result
    fixed: list[Finding] = field(default_factory=list)
    failed: bool = False


def on_disk(source: Source, text: str) -> None:
    """Write a fixed text where its source was read; raise FixError."""
    from ..fixes.apply import write

    write(Path(source.path), source, text)


def fix(
    lint: Callable[[], tuple[Linter, Result]],
    linter: Linter,
    result: Result,
    resolver: Resolver,
    save: Callable[[Source, str], None] = on_disk,
) -> Fixed:
    """Apply fixes and lint again until nothing is left to fix."""
    from ..fixes.apply import FixError

    done = Fixed(linter, result)
    given_up: set[str] = set()
    for _ in range(_MOST_ROUNDS):
        wrote = False
        for path, some in _by_file(done.result.findings, resolver).items():
            if path in given_up:
                continue
            source = done.linter.source(path)
            text, applied, broken = _fixed(source, some)
            if broken:
                given_up.add(path)
            try:
                if applied:
                    save(source, text)
            except FixError as error:
                click.echo(f"error: {error}", err=True)
                given_up.add(path)
                continue
            done.fixed += applied
            wrote |= bool(applied)
        if not wrote:
            break
        done.linter, done.result = lint()
    done.failed = bool(given_up)
    return done


def listed(fixed: Sequence[Finding]) -> str:
    """What was fixed, by file: `--show-fixes`."""
    lines: list[str] = []
    for path in dict.fromkeys(finding.path for finding in fixed):
        lines.append(f"{path}:")
        lines += [
            f"  {finding.code} [{finding.name}] {finding.fix.message}"
            for finding in fixed
            if finding.path == path and finding.fix is not None
        ]
    return "".join(f"{line}\n" for line in lines)


def show_diff(linter: Linter, result: Result, resolver: Resolver) -> tuple[bool, bool]:
    """Print what one round of fixes would change; whether there is anything, and whether something went wrong."""
    total, failed = 0, False
    for path, some in _by_file(result.findings, resolver).items():
        source = linter.source(path)
        text, applied, broken = _fixed(source, some)
        _diff(source, text)
        total += len(applied)
        failed |= broken
    click.echo(f"Would fix {total} finding{'s' * (total != 1)}.", err=True)
    return bool(total), failed


def thread_groups(linter: Linter, targets: Sequence[Path], *, apply: bool) -> tuple[bool, bool]:
    """Hand groups down through the calls, or show how; whether there is anything to do, and whether something failed."""
    from ..fixes.apply import FixError, fixed, write
    from ..report.cells import Cells

    plan = linter.chains(targets)
    failed = False
    for path, edits in sorted(plan.edits.items()):
        source = linter.source(path)
        try:
            text = fixed(source, edits)
            if apply:
                write(Path(path), source, text)
            else:
                _diff(source, text)
        except FixError as error:
            click.echo(f"error: {error}", err=True)
            failed = True
    for where in plan.refused:
        click.echo(f"left as it is: {Cells(linter).words(where)}", err=True)
    count, calls = len(plan.threaded), sum(map(len, plan.edits.values())) - len(plan.threaded)
    does = "Handed" if apply else "Would hand"
    click.echo(
        f"{does} a group down through {count} function{'s' * (count != 1)}, in {calls} call{'s' * (calls != 1)}.",
        err=True,
    )
    return bool(plan.edits), failed


def _diff(source: Source, after: str) -> None:
    from ..notebook import Notebook
    from ..source import lines

    texts = [(source.path, source.text, after)]
    if isinstance(source, Notebook):
        pairs = zip(source.cells, source.parts(source.text), source.parts(after), strict=True)
        # A cell is no file: that nothing ends its last line says nothing.
        texts = [(f"{source.path}:cell {cell.number}", f"{before}\n", f"{now}\n") for cell, before, now in pairs]
    for name, before, now in texts:
        for line in difflib.unified_diff(lines(before), lines(now), name, name):
            click.echo(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False)


def _by_file(findings: Sequence[Finding], resolver: Resolver) -> dict[str, list[Finding]]:
    """The findings of each file whose fixes may be applied now."""
    from ..fixes.apply import select

    files = dict.fromkeys(finding.path for finding in findings if finding.fix is not None)
    chosen = {
        path: select(
            [finding for finding in findings if finding.path == path],
            unsafe=resolver.settings(Path(path)).unsafe_fixes,
        )
        for path in files
    }
    return {path: some for path, some in chosen.items() if some}


def _fixed(source: Source, findings: list[Finding]) -> tuple[str, list[Finding], bool]:
    """The text of a file with its fixes applied, which those were, and whether one had to be left out."""
    from ..fixes.apply import applicable, fixed

    some, errors = applicable(source, findings)
    for error in errors:
        click.echo(f"error: {error}", err=True)
    text = fixed(source, [edit for finding in some if finding.fix for edit in finding.fix.edits])
    return text, some, bool(errors)
