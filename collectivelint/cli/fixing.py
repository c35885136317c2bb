"""Applying fixes to the files of a run, or showing what they would change."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..printable import one_line, printable
from .messages import error as complain
from .messages import warning

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..engine import Linter
    from ..finding import Finding
    from ..findings.result import Result
    from ..settings import Resolver
    from ..source.text import Source

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
    targets: Sequence[Path] | None = None,
) -> Fixed:
    """Apply fixes and lint again until nothing is left to fix.

    With `targets` (the paths the user named), files outside of them that are reached through links are left unchanged.
    """
    from ..fixes.apply import FixError

    done = Fixed(linter, result)
    given_up: set[str] = set()
    left: set[str] = set()
    for _ in range(_MOST_ROUNDS):
        wrote = False
        chosen = _by_file(done.result.findings, resolver)
        left |= _outside([path for path in chosen if path not in left], targets)
        for path, some in chosen.items():
            if path in given_up or path in left:
                continue
            source = done.linter.source(path)
            text, applied, broken = _fixed(source, some)
            if broken:
                given_up.add(path)
            try:
                if applied:
                    save(source, text)
            except FixError as error:
                complain(error)
                given_up.add(path)
                continue
            done.fixed += applied
            wrote |= bool(applied)
        if not wrote:
            break
        done.linter, done.result = lint()
    done.failed = bool(given_up)
    return done


def _outside(paths: Sequence[str], targets: Sequence[Path] | None) -> set[str]:
    """The files that must not be written; prints one warning for each."""
    from ..fixes.links import outside

    messages = outside(paths, targets) if targets is not None else {}
    for message in messages.values():
        warning(message)
    return set(messages)


def listed(fixed: Sequence[Finding]) -> str:
    """What was fixed, by file: `--show-fixes`."""
    lines: list[str] = []
    for path in dict.fromkeys(finding.path for finding in fixed):
        lines.append(f"{one_line(path)}:")
        lines += [
            f"  {finding.code} [{finding.name}] {printable(finding.fix.message)}"
            for finding in fixed
            if finding.path == path and finding.fix is not None
        ]
    return "".join(f"{line}\n" for line in lines)


def show_diff(
    linter: Linter, result: Result, resolver: Resolver, targets: Sequence[Path] | None = None
) -> tuple[bool, bool]:
    """Print what one round of fixes would change; returns whether anything would, and whether something failed."""
    from ..fixes.apply import FixError
    from .patch import show

    total, failed = 0, False
    chosen = _by_file(result.findings, resolver)
    left = _outside(list(chosen), targets)
    for path, some in chosen.items():
        if path in left:
            continue
        source = linter.source(path)
        text, applied, broken = _fixed(source, some)
        failed |= broken
        try:
            show(source, text)
        except FixError as error:
            complain(error)
            failed = True
            continue
        total += len(applied)
    click.echo(_would_fix(total, result, resolver), err=True)
    return bool(total), failed


def _would_fix(total: int, result: Result, resolver: Resolver) -> str:
    """The summary of `--diff`: how many findings `--fix` would fix, and how many more have unsafe fixes."""
    from ..report.remedy import applied

    count = len(result.findings)
    if not count:
        return f"Nothing to fix: no findings in {result.files} file{'s' * (result.files != 1)}."
    unsafe = sum(
        fix is not None and fix.applicability == "unsafe" and not resolver.settings(Path(finding.path)).unsafe_fixes
        for finding in result.findings
        for fix in (applied(finding),)
    )
    fixed = f"Would fix {total} finding{'s' * (total != 1)}."
    text = fixed if total else f"Would fix none of {count} finding{'s' * (count != 1)}."
    return f"{text} {unsafe}{' more' * bool(total)} fixable with `--unsafe-fixes`." if unsafe else text


def thread_groups(linter: Linter, targets: Sequence[Path], *, apply: bool) -> tuple[bool, bool, bool]:
    """Pass groups down through the calls, or show how.

    Returns whether there is anything to do, whether a file could not be read, and whether something failed.
    """
    from ..fixes.apply import FixError, fixed, write
    from ..report.cells import Cells
    from .patch import show

    plan = linter.chains(targets)
    failed = False
    for path, problem in plan.unreadable:
        complain(f"{path}:{problem.line}:{problem.column}: {problem.message}")
    for path, edits in sorted(plan.edits.items()):
        source = linter.source(path)
        try:
            text = fixed(source, edits)
            if apply:
                write(Path(path), source, text)
            else:
                show(source, text)
        except FixError as error:
            complain(error)
            failed = True
    for where in plan.refused:
        click.echo(f"left unchanged: {printable(Cells(linter).words(where))}", err=True)
    count, calls = len(plan.threaded), plan.calls
    if not plan.edits:
        click.echo(f"No group to pass down{', for the reasons above' * bool(plan.refused)}.", err=True)
        return False, bool(plan.unreadable), failed
    does = "Passed" if apply else "Would pass"
    click.echo(
        f"{does} a group down through {count} function{'s' * (count != 1)}, in {calls} call{'s' * (calls != 1)}.",
        err=True,
    )
    return bool(plan.edits), bool(plan.unreadable), failed


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
    """The text of a file with its fixes applied, the findings they fix, and whether one had to be left out."""
    from ..fixes.apply import applicable, fixed

    some, errors = applicable(source, findings)
    for error in errors:
        complain(error)
    for finding in some:
        if finding.fix is not None and finding.fix.caution:
            warning(f"{finding.path}:{finding.location.row}: {finding.fix.caution}")
    text = fixed(source, [edit for finding in some if finding.fix for edit in finding.fix.edits])
    return text, some, bool(errors)
