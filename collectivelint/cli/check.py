"""`collectivelint check`: lint, show, fix."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..cache import FOLDER
from ..discover import project_root
from ..engine import Linter, Result
from ..report import FORMATS, renderer
from ..settings import Resolver, Settings, known_selectors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..finding import Finding
    from ..source import Source

#: A fix can bring up the next one; more rounds than this means that two fixes undo each other.
_MOST_ROUNDS = 10


def _codes(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(code.strip() for value in values for code in value.split(",") if code.strip())


@click.command()
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Apply the safe fixes.")
@click.option("--unsafe-fixes/--no-unsafe-fixes", default=None, help="Show and apply unsafe fixes too.")
@click.option("--diff", is_flag=True, help="Print what --fix would change instead of changing it; exit 1 if anything.")
@click.option("--explicit-world/--no-explicit-world", default=None, help="CL101: name the default group where none is.")
@click.option("--group", metavar="EXPR", help="CL101: the group expression to write.")
@click.option(
    "--select", multiple=True, callback=_codes, metavar="CODES", help="Run only these rules (CL201, CL2, ALL)."
)
@click.option("--ignore", multiple=True, callback=_codes, metavar="CODES", help="Do not run these rules.")
@click.option("--extend-select", multiple=True, callback=_codes, metavar="CODES", help="Run these rules as well.")
@click.option("--exclude", multiple=True, callback=_codes, metavar="PATTERNS", help="Leave these files out.")
@click.option(
    "--force-exclude", is_flag=True, default=None, help="Apply exclusions to files named on the command line."
)
@click.option("--isolated", is_flag=True, help="Ignore all configuration files.")
@click.option("--no-cache", is_flag=True, help="Neither use nor keep what is known of files that have not changed.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help=f"Where to keep it. [default: {FOLDER}]")
@click.option("--jobs", type=click.IntRange(0), default=0, help="Processes to use; 0, the default, for one per CPU.")
@click.option("--output-format", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option(
    "--show-analysis", metavar="NAME", help="Print what is known of a function (save, Trainer.save) instead of linting."
)
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even when there are findings.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when there are no findings.")
def check(paths: tuple[Path, ...], **options: Any) -> None:
    """Lint Python files and folders; the current folder if none is given.

    Exit codes: 0 no findings, 1 findings, 2 usage, configuration or internal error.
    """
    missing = [path for path in paths if not path.exists() and not path.is_symlink()]
    for path in missing:
        click.echo(f"error: {path}: no such file or folder", err=True)
    existing = [path for path in paths if path not in missing]
    if paths and not existing:
        sys.exit(2)
    resolver = Resolver(_overrides(options), isolated=options["isolated"])
    _, unknown = known_selectors(Settings(**{key: options[key] for key in ("select", "ignore", "extend_select")}))
    if unknown:
        raise click.UsageError("; ".join(unknown))
    targets = existing or [Path()]
    folder = None if options["no_cache"] else options["cache_dir"] or (project_root(targets[0]) or Path()) / FOLDER

    def fresh() -> Linter:
        return Linter(resolver, cache_folder=folder, jobs=options["jobs"])

    linter = fresh()
    if options["show_analysis"]:
        _show_analysis(linter, targets, options["show_analysis"])
        return
    result = linter.run(targets)
    failed = bool(missing)
    fixed = 0
    changed = False
    if options["diff"]:
        changed, failed_diff = _diff(linter, result, resolver)
        failed |= failed_diff
    else:
        if options["fix"]:
            linter, result, fixed, failed_fix = _fix(fresh, linter, result, resolver, targets)
            failed |= failed_fix
        if result.findings or fixed or not options["quiet"]:
            text = renderer(options["output_format"])(result, linter, colour=_colour(), fixed=fixed)
            click.echo(text, nl=False, color=True)
    if not result.files and not missing:
        click.echo("warning: no Python files here", err=True)
    for problem in [*resolver.problems, *result.errors]:
        click.echo(f"error: {problem}", err=True)
    if failed or resolver.problems or result.errors:
        sys.exit(2)
    found = changed if options["diff"] else bool(result.findings)
    sys.exit(1 if found and not options["exit_zero"] else 0)


def _show_analysis(linter: Linter, targets: Sequence[Path], name: str) -> None:
    texts, similar = linter.explain(targets, name)
    if not texts:
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        raise click.UsageError(f"no function `{name}` here{hint}")
    click.echo("\n".join(texts), nl=False)


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given and stand for settings."""
    names = ("select", "ignore", "extend_select", "unsafe_fixes", "explicit_world", "group", "force_exclude")
    given = {name: options[name] for name in names if options[name] not in (None, ())}
    if options["exclude"]:
        given["extend_exclude"] = options["exclude"]
    return given


def _colour() -> bool:
    """Colours on a terminal, unless NO_COLOR is set; FORCE_COLOR has them anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def _by_file(findings: Sequence[Finding], resolver: Resolver) -> dict[str, list[Finding]]:
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


def _fix(
    fresh: Callable[[], Linter], linter: Linter, result: Result, resolver: Resolver, targets: Sequence[Path]
) -> tuple[Linter, Result, int, bool]:
    """Apply fixes and lint again until nothing is left to fix; the last linter and result, how many, any failure."""
    from ..fixes.apply import FixError, write

    total = 0
    given_up: set[str] = set()
    for _ in range(_MOST_ROUNDS):
        wrote = False
        for path, some in _by_file(result.findings, resolver).items():
            if path in given_up:
                continue
            source = linter.source(path)
            text, count, broken = _fixed(source, some)
            if broken:
                given_up.add(path)
            try:
                if count:
                    write(Path(path), source, text)
            except FixError as error:
                click.echo(f"error: {error}", err=True)
                given_up.add(path)
                continue
            total += count
            wrote |= bool(count)
        if not wrote:
            break
        linter = fresh()
        result = linter.run(targets)
    return linter, result, total, bool(given_up)


def _fixed(source: Source, findings: list[Finding]) -> tuple[str, int, bool]:
    """The text of a file with its fixes applied, how many, and whether one had to be left out."""
    from ..fixes.apply import applicable, fixed

    some, errors = applicable(source, findings)
    for error in errors:
        click.echo(f"error: {error}", err=True)
    text = fixed(source, [edit for finding in some if finding.fix for edit in finding.fix.edits])
    return text, len(some), bool(errors)


def _diff(linter: Linter, result: Result, resolver: Resolver) -> tuple[bool, bool]:
    """Print what one round of fixes would change; whether there is anything, and whether something went wrong."""
    import difflib

    from ..source import lines

    total, failed = 0, False
    for path, some in _by_file(result.findings, resolver).items():
        source = linter.source(path)
        text, count, broken = _fixed(source, some)
        old, new = lines(source.text), lines(text)
        for line in difflib.unified_diff(old, new, path, path):
            click.echo(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n", nl=False)
        total += count
        failed |= broken
    click.echo(f"Would fix {total} finding{'s' * (total != 1)}.", err=True)
    return bool(total), failed
