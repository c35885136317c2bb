"""`collectivelint check`: lint, show, fix."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..baseline import DEFAULT as DEFAULT_BASELINE
from ..cache import FOLDER
from ..discover import project_root
from ..engine import Linter, Result, shown
from ..report import FORMATS, renderer
from ..settings import Resolver, Settings, known_selectors
from ..source import Source, UnreadableError, decode
from .progress import bar
from .sections import Sectioned

if TYPE_CHECKING:
    from collections.abc import Sequence


def _codes(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(code.strip() for value in values for code in value.split(",") if code.strip())


#: Heading in `--help` -> its options.
_SECTIONS: Final = {
    "Fixing": (
        *("fix", "unsafe_fixes", "diff", "show_fixes", "fix_only", "exit_non_zero_on_fix", "fixable", "unfixable"),
        *("explicit_world", "group", "use_group_ops", "thread_groups"),
    ),
    "What is looked for": ("select", "ignore", "extend_select", "per_file_ignores", "exclude", "force_exclude"),
    "What is known already": ("baseline", "write_baseline", "add_ignore"),
    "Output": ("output_format", "output_file", "statistics", "watch", "exit_zero", "quiet", "verbose"),
}

_TASKS: Final = {
    "collectivelint src/": "find what hangs, and why",
    "collectivelint --fix src/": "mend what is safe to mend",
    "collectivelint --diff --unsafe-fixes src/": "see what more could be mended",
    "collectivelint --fix --explicit-world src/": "name the default group everywhere",
    "collectivelint --statistics src/": "count the findings of each rule",
    "collectivelint --write-baseline src/": "from here on report what is new",
    "collectivelint --output-format html --output-file report.html src/": "make a page to pass around",
    "collectivelint rule CL201": "read what a rule is about",
}


@click.command(cls=Sectioned, sections=_SECTIONS, tasks=_TASKS)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Apply the safe fixes.")
@click.option("--unsafe-fixes/--no-unsafe-fixes", default=None, help="Show and apply unsafe fixes too.")
@click.option("--fix-only", is_flag=True, help="Apply fixes, and neither show what is left nor exit with 1 for it.")
@click.option("--show-fixes", is_flag=True, help="List what --fix has changed.")
@click.option(
    "--exit-non-zero-on-fix", is_flag=True, help="Exit with 1 if anything was fixed, even if nothing is left."
)
@click.option("--diff", is_flag=True, help="Print what --fix would change instead of changing it; exit 1 if anything.")
@click.option("--explicit-world/--no-explicit-world", default=None, help="CL101: name the default group where none is.")
@click.option("--group", metavar="EXPR", help="CL101: the group expression to write.")
@click.option(
    "--use-group-ops/--no-use-group-ops", default=None, help="CL101: write GroupOps(group).barrier() for the group."
)
@click.option(
    "--thread-groups",
    is_flag=True,
    help="CL101: hand a group down through the calls, as a keyword parameter; with --diff or --fix.",
)
@click.option(
    "--select", multiple=True, callback=_codes, metavar="CODES", help="Run only these rules (CL201, CL2, ALL)."
)
@click.option("--ignore", multiple=True, callback=_codes, metavar="CODES", help="Do not run these rules.")
@click.option("--extend-select", multiple=True, callback=_codes, metavar="CODES", help="Run these rules as well.")
@click.option("--fixable", multiple=True, callback=_codes, metavar="CODES", help="Fix only these rules.")
@click.option("--unfixable", multiple=True, callback=_codes, metavar="CODES", help="Do not fix these rules.")
@click.option(
    "--per-file-ignores",
    multiple=True,
    metavar="PATTERN:CODES",
    help="Do not run these rules in these files (tests/*:CL1).",
)
@click.option("--exclude", multiple=True, callback=_codes, metavar="PATTERNS", help="Leave these files out.")
@click.option(
    "--force-exclude", is_flag=True, default=None, help="Apply exclusions to files named on the command line."
)
@click.option("--isolated", is_flag=True, help="Ignore all configuration files.")
@click.option("--no-cache", is_flag=True, help="Neither use nor keep what is known of files that have not changed.")
@click.option("--cache-dir", type=click.Path(path_type=Path), help=f"Where to keep it. [default: {FOLDER}]")
@click.option("--jobs", type=click.IntRange(0), default=0, help="Processes to use; 0, the default, for one per CPU.")
@click.option("--output-format", type=click.Choice(FORMATS), default="text", show_default=True)
@click.option("--output-file", type=click.Path(path_type=Path, dir_okay=False), help="Write the findings to a file.")
@click.option("--statistics", is_flag=True, help="Show how many findings there are of each rule.")
@click.option("--baseline", type=click.Path(path_type=Path, dir_okay=False), help="Show only what is not in this file.")
@click.option(
    "--write-baseline",
    is_flag=True,
    help="Write all findings to the baseline (collectivelint-baseline.json if there is none).",
)
@click.option(
    "--add-ignore",
    is_flag=False,
    flag_value="",
    metavar="[=REASON]",
    help="Silence all findings by comments on their lines, with a reason.",
)
@click.option(
    "--show-analysis", metavar="NAME", help="Print what is known of a function (save, Trainer.save) instead of linting."
)
@click.option("--show-settings", is_flag=True, help="Print the settings that apply to the first path.")
@click.option(
    "--stdin-filename",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lint what comes on the standard input as if it were this file; --fix writes it to the standard output.",
)
@click.option("--watch", is_flag=True, help="Lint again whenever a file changes, until interrupted.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even when there are findings.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when there are no findings.")
@click.option(
    "-v", "--verbose", is_flag=True, help="Say what was looked at, under which settings, and how long it took."
)
def check(paths: tuple[Path, ...], **options: Any) -> None:
    """Lint Python files and folders; the current folder if none is given.

    Exit codes: 0 no findings, 1 findings, 2 usage, configuration or internal error.
    """
    targets, missing = _targets(paths, options["stdin_filename"])
    for path in missing:
        click.echo(f"error: {path}: no such file or folder", err=True)
    if not targets:
        sys.exit(2)
    names = ("select", "ignore", "extend_select", "unfixable")
    given = {name: options[name] for name in names} | ({"fixable": options["fixable"]} if options["fixable"] else {})
    _, unknown = known_selectors(Settings(**given))
    if unknown:
        raise click.UsageError("; ".join(unknown))
    overrides = _overrides(options)

    def once() -> int:
        resolver = Resolver(overrides, isolated=options["isolated"])
        outcome = _run(targets, options, resolver)
        outcome.failed |= bool(missing)
        return _code(resolver, outcome)

    if not options["watch"]:
        sys.exit(once())
    wrong = next((name for name in _NOT_WATCHED if options[name] not in (False, None)), None)
    if wrong is not None:
        raise click.UsageError(f"--watch only shows findings: leave out --{wrong.replace('_', '-')}")
    from .watching import watch

    watch(targets, once)


#: What changes files, or is done once.
_NOT_WATCHED: Final = (
    *("stdin_filename", "fix", "fix_only", "diff", "thread_groups"),
    *("write_baseline", "add_ignore", "show_analysis", "show_settings"),
)


def _targets(paths: tuple[Path, ...], stdin_filename: Path | None) -> tuple[list[Path], list[Path]]:
    """The files and folders to lint, and those that do not exist."""
    if stdin_filename is not None:
        if paths not in ((), (Path("-"),)):
            raise click.UsageError("--stdin-filename stands for the path: name no others")
        return [stdin_filename], []
    missing = [path for path in paths if not path.exists() and not path.is_symlink()]
    return [path for path in paths if path not in missing] if paths else [Path()], missing


@dataclass(slots=True)
class _Outcome:
    """How a run ended: with findings, or with something that went wrong."""

    result: Result = field(default_factory=Result)
    found: bool = False
    failed: bool = False


def _run(targets: Sequence[Path], options: dict[str, Any], resolver: Resolver) -> _Outcome:
    """Do once what the options ask for."""
    if options["show_settings"]:
        click.echo(resolver.settings(targets[0]).shown(), nl=False)
        return _Outcome()
    texts: dict[str, Source] = {}
    is_input = options["stdin_filename"] is not None
    if is_input:
        name = shown(targets[0])
        try:
            texts[name] = decode(sys.stdin.buffer.read(), name)
        except UnreadableError as error:
            click.echo(f"error: {name}:{error.line}:{error.column}: {error.message}", err=True)
            return _Outcome(failed=True)
    folder = None if options["no_cache"] else options["cache_dir"] or (project_root(targets[0]) or Path()) / FOLDER

    def lint() -> tuple[Linter, Result]:
        start = time.perf_counter()
        with bar(hidden=options["quiet"]) as told:
            linter = Linter(resolver, texts, cache_folder=folder, jobs=options["jobs"], progress=told)
            result = linter.run(targets)
        if options["verbose"]:
            taken = time.perf_counter() - start
            click.echo(f"settings of {targets[0]}: {resolver.settings(targets[0]).file or 'the defaults'}", err=True)
            click.echo(f"{result.files} files, {result.analysed} analysed anew, {taken:.1f} s", err=True)
        return linter, result

    def save(source: Source, text: str) -> None:
        texts[source.path] = replace(source, text=text)

    if options["thread_groups"]:
        from .fixing import thread_groups

        if not options["diff"] and not options["fix"]:
            raise click.UsageError("--thread-groups needs --diff, to see what it would change, or --fix")
        changed, failed = thread_groups(Linter(resolver), targets, apply=options["fix"])
        return _Outcome(found=changed and not options["fix"], failed=failed)
    if options["show_analysis"]:
        _show_analysis(Linter(resolver), targets, options["show_analysis"])
        return _Outcome()
    linter, result = lint()
    if options["diff"]:
        from .fixing import show_diff

        changed, failed = show_diff(linter, result, resolver)
        return _Outcome(result, found=changed and not options["exit_zero"], failed=failed)
    fixed, failed = 0, False
    if options["fix"] or options["fix_only"]:
        from .fixing import fix, listed, on_disk

        done = fix(lint, linter, result, resolver, save if is_input else on_disk)
        linter, result, fixed, failed = done.linter, done.result, len(done.fixed), done.failed
        if is_input:
            source = texts[shown(targets[0])]
            click.echo(source.encode(source.text), nl=False)
        if options["show_fixes"]:
            click.echo(listed(done.fixed), nl=False, err=is_input)
    outcome = _Outcome(result, found=bool(fixed) and options["exit_non_zero_on_fix"], failed=failed)
    if not _adopt(outcome, linter, options, _baseline(options, resolver, targets)):
        return outcome
    if options["fix_only"]:
        click.echo(f"Fixed {fixed} finding{'s' * (fixed != 1)}.", err=is_input)
        return outcome
    if not outcome.result.files:
        click.echo("warning: no Python files here", err=True)
    outcome.failed |= _show(outcome.result, linter, options, fixed)
    outcome.found |= bool(outcome.result.findings) and not options["exit_zero"]
    return outcome


def _adopt(outcome: _Outcome, linter: Linter, options: dict[str, Any], file: Path | None) -> bool:
    """What has to do with findings that are known: baselines and comments; whether there is anything left to do."""
    if options["write_baseline"]:
        from .adopting import write_baseline

        outcome.failed |= write_baseline(outcome.result, linter, file or Path(DEFAULT_BASELINE))
        return False
    if file is not None:
        from .adopting import without_known

        outcome.result, unusable = without_known(outcome.result, linter, file)
        outcome.failed |= unusable
    if options["add_ignore"] is not None:
        from .adopting import add_ignores

        silenced, broken = add_ignores(outcome.result.findings, linter, options["add_ignore"])
        click.echo(f"Silenced {silenced} finding{'s' * (silenced != 1)}.")
        outcome.failed |= broken
        return False
    return True


def _code(resolver: Resolver, outcome: _Outcome) -> int:
    """Say what went wrong; the exit code."""
    problems = [*resolver.problems, *outcome.result.errors]
    for problem in problems:
        click.echo(f"error: {problem}", err=True)
    return 2 if outcome.failed or problems else int(outcome.found)


def _show(result: Result, linter: Linter, options: dict[str, Any], fixed: int) -> bool:
    """Print the findings, or write them to a file; whether that failed."""
    file: Path | None = options["output_file"]
    if options["statistics"]:
        from ..report.statistics import table

        text = table(result)
    elif result.findings or fixed or not options["quiet"] or file is not None:
        colour = file is None and _colour()
        text = renderer(options["output_format"])(result, linter, colour=colour, fixed=fixed)
    else:
        return False
    if file is None:
        # What was read from the standard input goes back fixed to the standard output.
        click.echo(text, nl=False, color=True, err=options["stdin_filename"] is not None and options["fix"])
        return False
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        click.echo(f"error: {file}: cannot be written: {error.strerror or error}", err=True)
        return True
    return False


def _baseline(options: dict[str, Any], resolver: Resolver, targets: Sequence[Path]) -> Path | None:
    """The baseline that was named, here or in the configuration of the first path."""
    if options["baseline"] is not None:
        named: Path = options["baseline"]
        return named
    settings = resolver.settings(targets[0])
    return settings.root / settings.baseline if settings.baseline else None


def _show_analysis(linter: Linter, targets: Sequence[Path], name: str) -> None:
    texts, similar = linter.explain(targets, name)
    if not texts:
        hint = f"; did you mean {' or '.join(similar)}?" if similar else ""
        raise click.UsageError(f"no function `{name}` here{hint}")
    from ..report.cells import Cells

    click.echo("\n".join(map(Cells(linter).analysis, texts)), nl=False)


def _overrides(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given and stand for settings."""
    names = (
        *("select", "ignore", "extend_select", "fixable", "unfixable"),
        *("unsafe_fixes", "explicit_world", "group", "use_group_ops", "force_exclude"),
    )
    given = {name: options[name] for name in names if options[name] not in (None, ())}
    if options["exclude"]:
        given["extend_exclude"] = options["exclude"]
    if options["per_file_ignores"]:
        pairs = [pair.rpartition(":") for pair in options["per_file_ignores"]]
        if not all(pattern and codes for pattern, _, codes in pairs):
            raise click.UsageError("--per-file-ignores has to be PATTERN:CODES, as in tests/*:CL1,CL406")
        given["per_file_ignores"] = {pattern: tuple(codes.split(",")) for pattern, _, codes in pairs}
    return given


def _colour() -> bool:
    """Colours on a terminal, unless NO_COLOR is set; FORCE_COLOR has them anywhere."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
