"""One run of `collectivelint check`: lint, fix, filter known findings, and show the rest."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .. import atomic, colour
from ..engine import Linter
from ..finding import UNREADABLE
from ..findings.result import Result
from ..incremental.store import FOLDER
from ..printable import one_line, printable
from ..report import hyperlink, render
from ..report.model import Document
from ..source.discover import project_root
from ..source.paths import shown
from . import standard_input
from .messages import error, warning
from .progress import bar
from .words import reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..settings import Resolver
    from ..source.text import Source


@dataclass(slots=True)
class Outcome:
    """How a run ended: with findings, or with something that went wrong."""

    result: Result = field(default_factory=Result)
    found: bool = False
    failed: bool = False


def run(targets: Sequence[Path], options: dict[str, Any], resolver: Resolver) -> Outcome:
    """Run once with these options."""
    if options["show_settings"]:
        click.echo(printable(resolver.settings(targets[0]).shown()), nl=False)
        return Outcome()
    if options["show_files"]:
        for path in Linter(resolver).paths(targets):
            click.echo(one_line(path))
        return Outcome()
    texts: dict[str, Source] = {}
    given: standard_input.StandardInput | None = None
    is_input = options["stdin_filename"] is not None
    if is_input:
        _refuse_in_place(options)
        name = shown(targets[0])
        given = standard_input.read(name)
        texts[name] = given.source
    folder = None if options["no_cache"] else _cache_folder(options["cache_dir"], targets[0])
    fixing = options["fix"] or options["fix_only"] or options["diff"]

    def lint() -> tuple[Linter, Result]:
        if given is not None and given.problem is not None:
            linter = given.linter(resolver)
            return linter, given.result(linter, targets)
        start = time.perf_counter()
        with bar(hidden=options["quiet"]) as show_progress:
            linter = Linter(
                resolver,
                texts,
                cache_folder=folder,
                jobs=options["jobs"],
                progress=show_progress,
                fixing=fixing,
                follow=options["follow_installed"],
            )
            result = linter.run(targets)
        if result.followed and not options["quiet"]:
            click.echo(printable(result.followed), err=True)
        if options["verbose"]:
            taken = time.perf_counter() - start
            where = f"settings of {targets[0]}: {resolver.settings(targets[0]).file or 'the defaults'}"
            click.echo(printable(where), err=True)
            click.echo(f"{result.files} files, {result.analysed} analysed, {taken:.1f} s", err=True)
            if result.unsettled:
                many = f"{result.unsettled} function{'s' * (result.unsettled != 1)}"
                click.echo(f"{many} in recursions approximated: no fixed point within the bound", err=True)
        return linter, result

    def save(source: Source, text: str) -> None:
        texts[source.path] = replace(source, text=text)

    if options["thread_groups"]:
        from .fixing import thread_groups

        if not options["diff"] and not options["fix"]:
            raise click.UsageError("--thread-groups needs --diff, to see what it would change, or --fix")
        changed, unread, failed = thread_groups(Linter(resolver), targets, apply=options["fix"])
        return Outcome(found=(changed and not options["fix"]) or (unread and not options["exit_zero"]), failed=failed)
    if options["show_analysis"] is not None:
        if given is not None and given.problem is not None:
            error(f"{name}:{given.problem.line}:{given.problem.column}: {given.problem.message}")
            return Outcome(failed=True)
        _show_analysis(Linter(resolver, texts), targets, options["show_analysis"])
        return Outcome()
    known = None
    if options["diff_base"] is not None:
        from .diff_base import before, only_new

        known = before(targets, resolver, folder, options)
    linter, result = lint()
    if not result.files and not result.findings and not (is_input and options["fix"]):
        return _nothing(result, linter, targets, options, resolver)
    if options["diff"]:
        from .fixing import show_diff

        changed, failed = show_diff(linter, result, resolver, None if is_input else targets)
        changed |= _name_unreadable(result, linter)
        return Outcome(result, found=changed and not options["exit_zero"], failed=failed)
    fixed, failed = 0, False
    if options["fix"] or options["fix_only"]:
        from .fixing import fix, listed, on_disk

        done = fix(lint, linter, result, resolver, *((save, None) if is_input else (on_disk, targets)))
        linter, result, fixed, failed = done.linter, done.result, len(done.fixed), done.failed
        if given is not None:
            given.give_back(texts[given.source.path])
        if options["show_fixes"]:
            click.echo(listed(done.fixed), nl=False, err=is_input)
    outcome = Outcome(result, found=bool(fixed) and options["exit_non_zero_on_fix"], failed=failed)
    new = None if known is None else known.new(result.findings, linter)
    if not _adopt(outcome, linter, options, targets):
        outcome.found |= _name_unreadable(outcome.result, linter) and not options["exit_zero"]
        return outcome
    if known is not None and new is not None:
        outcome.result, outcome.failed = only_new(outcome.result, new), outcome.failed or known.failed
    if options["fix_only"]:
        outcome.found |= _name_unreadable(outcome.result, linter) and not options["exit_zero"]
        click.echo(f"Fixed {fixed} finding{'s' * (fixed != 1)}.", err=is_input)
        return outcome
    outcome.failed |= _show(outcome.result, linter, options, fixed)
    outcome.found |= bool(outcome.result.findings) and not options["exit_zero"]
    return outcome


def _cache_folder(named: Path | None, target: Path) -> Path:
    """The cache folder; a link to a folder is followed only if the user named it."""
    if named is None:
        return (project_root(target) or Path()) / FOLDER
    return named.resolve() if os.path.isdir(named) else named


def _refuse_in_place(options: dict[str, Any]) -> None:
    """Raise UsageError for options that modify files in place."""
    for name in ("add_ignore", "thread_groups"):
        if options[name] not in (None, False):
            raise click.UsageError(f"--{name.replace('_', '-')} changes files, and the standard input is not a file")


def _nothing(
    result: Result, linter: Linter, targets: Sequence[Path], options: dict[str, Any], resolver: Resolver
) -> Outcome:
    """Report that nothing was checked; this is no failure if a hook passed only excluded files."""
    left_out = all(os.path.isfile(path) and resolver.settings(path).force_exclude for path in targets)
    if left_out:
        warning("nothing to check: every file that was named is excluded")
    else:
        where = ", ".join(map(str, targets)) if targets != [Path()] else "the current folder"
        error(f"nothing to check: there are no Python files in {where}, or all are excluded{reader(targets[0])}")
    failed = _show(result, linter, options, 0)
    return Outcome(result, failed=failed or not left_out)


def _adopt(outcome: Outcome, linter: Linter, options: dict[str, Any], targets: Sequence[Path]) -> bool:
    """Handle known findings: baselines and ignore comments; returns whether the run continues to show findings."""
    from .adopting import Baselines, add_ignores

    known = Baselines(linter, targets, options["baseline"])
    if options["write_baseline"]:
        outcome.failed |= known.write(outcome.result)
        return False
    outcome.result, unusable = known.without_known(outcome.result)
    outcome.failed |= unusable
    if options["add_ignore"] is not None and outcome.result.incomplete:
        error(f"no comment was written: {outcome.result.incomplete}")
        return False
    if options["add_ignore"] is not None:
        silenced, broken = add_ignores(outcome.result.findings, linter, options["add_ignore"], targets)
        click.echo(f"Silenced {silenced} finding{'s' * (silenced != 1)}.")
        outcome.failed |= broken
        return False
    return True


def _name_unreadable(result: Result, linter: Linter) -> bool:
    """Report the files that could not be checked, for runs that show no findings; returns whether there are any."""
    from ..report.cells import placed

    unread = [finding for finding in placed(result, linter)[0].findings if finding.code == UNREADABLE]
    for finding in unread:
        error(f"{finding.path}:{finding.location.row}:{finding.location.column}: {finding.message}")
    return bool(unread)


def _show(result: Result, linter: Linter, options: dict[str, Any], fixed: int) -> bool:
    """Print the findings, or write them to a file; whether that failed."""
    file: Path | None = options["output_file"]
    if options["statistics"]:
        from ..report.statistics import table

        text = table(result)
    elif result.findings or fixed or not options["quiet"] or file is not None:
        has_colour = file is None and colour.is_wanted(sys.stdout, options["color"])
        links = has_colour and hyperlink.is_supported(sys.stdout)
        document = Document(result, linter, colour=has_colour, fixed=fixed, links=links)
        text = render(options["output_format"], document)
    else:
        return False
    if file is None:
        # What was read from the standard input goes back fixed to the standard output.
        click.echo(text, nl=False, color=True, err=options["stdin_filename"] is not None and options["fix"])
        return False
    try:
        atomic.write(file, text)
    except OSError as problem:
        error(f"{file}: cannot be written: {problem.strerror or problem}")
        return True
    return False


def _show_analysis(linter: Linter, targets: Sequence[Path], name: str) -> None:
    texts, similar, broken = linter.explain(targets, name)
    for problem in broken:
        warning(f"{problem}; not analysed")
    if not texts:
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        raise click.UsageError(f"no function `{name}` in these files{hint}")
    from ..report.cells import Cells

    click.echo(printable("\n".join(map(Cells(linter).analysis, texts))), nl=False)
