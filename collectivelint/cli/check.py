"""`collectivelint check`: lint, show, fix."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..findings.confidence import CONFIDENCES
from ..incremental.store import FOLDER
from ..printable import one_line
from ..registry import problems as rule_problems
from ..report import FORMATS
from ..settings import SettingsError
from .messages import error, warning
from .overrides import CONFIG_VARIABLE, overrides
from .running import Outcome, run
from .sections import Sectioned
from .words import Word, meant, rule_words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..settings import Resolver


def _codes(_: click.Context, __: click.Parameter, values: Sequence[str]) -> tuple[str, ...]:
    return tuple(code.strip() for value in values for code in value.split(",") if code.strip())


def _codes_option(name: str, text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """An option that takes rules, and may be given several times."""
    return click.option(name, multiple=True, callback=_codes, shell_complete=rule_words, metavar="CODES", help=text)


def _reason(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Validate a reason: raise BadParameter unless it is one line without control characters."""
    if value is not None and (one_line(value) != value or _LINE_ENDS.intersection(value)):
        raise click.BadParameter("the reason has to be one line without control characters")
    return value


def _seconds(_: click.Context, __: click.Parameter, value: str | None) -> float | None:
    """The number of seconds an option gives; the default if it has no value, None if the option is absent."""
    if value is None:
        return None
    try:
        seconds = float(value or _FOLLOWING)
    except ValueError:
        seconds = -1
    if not 0 < seconds < float("inf"):
        raise click.BadParameter(f"`{value}` is not a number of seconds; a value follows a `=`: --follow-installed=60")
    return seconds


#: How many seconds are used for installed packages unless said otherwise.
_FOLLOWING: Final = 60
#: What editors take for the end of a line, and is no control character.
_LINE_ENDS: Final = frozenset("\u2028\u2029")

#: Heading in `--help` -> its options.
_SECTIONS: Final = {
    "Fixing": (
        *("fix", "unsafe_fixes", "diff", "show_fixes", "fix_only", "exit_non_zero_on_fix", "fixable", "unfixable"),
        *("explicit_world", "group", "use_group_ops", "thread_groups"),
    ),
    "Rule selection": (
        *("select", "extend_select", "ignore", "extend_ignore", "per_file_ignores", "preview", "min_confidence"),
    ),
    "Files and configuration": (
        *("exclude", "extend_exclude", "force_exclude", "follow_installed", "config", "isolated", "show_files"),
    ),
    "Existing findings": ("diff_base", "baseline", "write_baseline", "add_ignore"),
    "Output": ("output_format", "output_file", "color", "statistics", "watch", "exit_zero", "quiet", "verbose"),
}

_TASKS: Final = {
    "collectivelint src/": "find collectives that can hang",
    "collectivelint --fix src/": "apply the safe fixes",
    "collectivelint --diff --unsafe-fixes src/": "show what all fixes would change",
    "collectivelint --fix --explicit-world src/": "write the default group where none is given",
    "collectivelint --statistics src/": "count the findings of each rule",
    "collectivelint --write-baseline src/": "accept the existing findings",
    "collectivelint --diff-base origin/main src/": "report only what a change adds",
    "collectivelint --output-format html --output-file report.html src/": "write the findings to one HTML page",
    "collectivelint rule CL201": "read the page of a rule",
}


@click.command(cls=Sectioned, sections=_SECTIONS, tasks=_TASKS)
@click.argument("paths", nargs=-1, type=click.Path(path_type=Path))
@click.option("--fix", is_flag=True, help="Apply the safe fixes.")
@click.option("--unsafe-fixes/--no-unsafe-fixes", default=None, help="Show and apply unsafe fixes too.")
@click.option(
    "--fix-only", is_flag=True, help="Apply the fixes without showing, or exiting with 1 for, the remaining findings."
)
@click.option("--show-fixes", is_flag=True, help="List the fixes that --fix applied.")
@click.option(
    "--exit-non-zero-on-fix", is_flag=True, help="Exit with 1 if anything was fixed, even if nothing is left."
)
@click.option("--diff", is_flag=True, help="Print what --fix would change instead of changing it; exit 1 if anything.")
@click.option(
    "--explicit-world/--no-explicit-world",
    default=None,
    help="CL101: write the default group where no group is in reach.",
)
@click.option("--group", metavar="EXPR", help="CL101: the group expression to write.")
@click.option(
    "--use-group-ops/--no-use-group-ops", default=None, help="CL101: write GroupOps(group).barrier() for the group."
)
@click.option(
    "--thread-groups",
    is_flag=True,
    help="CL101: pass a group down through the calls, as a keyword parameter; with --diff or --fix.",
)
@_codes_option("--select", "Run only these rules (CL201, CL2, ALL).")
@_codes_option("--ignore", "Do not run these rules.")
@_codes_option("--extend-select", "Run these rules as well.")
@_codes_option("--extend-ignore", "Do not run these rules either.")
@click.option("--preview/--no-preview", default=None, help="Run rules that are new and may still change.")
@click.option(
    "--min-confidence", type=Word(CONFIDENCES), help="Report findings of this confidence and above. [default: medium]"
)
@_codes_option("--fixable", "Fix only these rules.")
@_codes_option("--unfixable", "Do not fix these rules.")
@click.option(
    "--per-file-ignores",
    multiple=True,
    metavar="PATTERN:CODES",
    help="Do not run these rules in these files (tests/*:CL1).",
)
@click.option("--exclude", multiple=True, callback=_codes, metavar="PATTERNS", help="Exclude these files.")
@click.option(
    "--extend-exclude",
    multiple=True,
    callback=_codes,
    metavar="PATTERNS",
    help="Same as --exclude.",
)
@click.option(
    "--force-exclude", is_flag=True, default=None, help="Apply exclusions to files named on the command line."
)
@click.option(
    "--config",
    multiple=True,
    metavar="FILE | KEY = VALUE",
    help=f"Use this configuration file for all files [env: {CONFIG_VARIABLE}], or set one key of the configuration.",
)
@click.option("--show-files", is_flag=True, help="List the files that would be linted, and lint none.")
@click.option("--isolated", is_flag=True, help="Ignore all configuration files.")
@click.option(
    "--no-cache",
    is_flag=True,
    envvar="COLLECTIVELINT_NO_CACHE",
    show_envvar=True,
    help="Neither read nor write the cache.",
)
@click.option(
    "--cache-dir",
    envvar="COLLECTIVELINT_CACHE_DIR",
    show_envvar=True,
    type=click.Path(path_type=Path),
    help=f"Folder of the cache. [default: {FOLDER}]",
)
@click.option("--jobs", type=click.IntRange(0), default=0, help="Processes to use; 0, the default, for one per CPU.")
@click.option(
    "--follow-installed",
    is_flag=False,
    flag_value="",
    callback=_seconds,
    metavar="[=SECONDS]",
    help=f"Follow calls into the source of installed packages, for up to this many seconds. [without a number: {_FOLLOWING}]",
)
@click.option(
    "--output-format",
    type=Word(FORMATS),
    default="text",
    show_default=True,
    envvar="COLLECTIVELINT_OUTPUT_FORMAT",
    show_envvar=True,
    help="Format of the findings.",
)
@click.option(
    "--color", type=Word(("auto", "always", "never")), default="auto", help="Use colours; auto: on a terminal only."
)
@click.option("--output-file", type=click.Path(path_type=Path, dir_okay=False), help="Write the findings to a file.")
@click.option("--statistics", is_flag=True, help="Count the findings of each rule.")
@click.option(
    "--diff-base",
    metavar="REV",
    help="Show only findings that a change adds, in any file: those missing at the merge base of REV and HEAD.",
)
@click.option(
    "--baseline", type=click.Path(path_type=Path, dir_okay=False), help="Show only findings that are not in this file."
)
@click.option(
    "--write-baseline",
    is_flag=True,
    help="Write all findings to the baseline (collectivelint-baseline.json if there is none).",
)
@click.option(
    "--add-ignore",
    is_flag=False,
    flag_value="",
    callback=_reason,
    metavar="[=REASON]",
    help="Silence all findings by comments on their lines, with a reason.",
)
@click.option(
    "--show-analysis", metavar="NAME", help="Print the analysis of a function (save, Trainer.save) instead of linting."
)
@click.option("--show-settings", is_flag=True, help="Print the settings that apply to the first path.")
@click.option(
    "--stdin-filename",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Lint the standard input as this file; --fix writes the result to the standard output.",
)
@click.option("--watch", is_flag=True, help="Lint again whenever a file changes, until interrupted.")
@click.option("--exit-zero", is_flag=True, help="Exit with 0 even when there are findings.")
@click.option("-q", "--quiet", is_flag=True, help="Print nothing when there are no findings.")
@click.option("-v", "--verbose", is_flag=True, help="Print the number of files, the settings and the time.")
def check(paths: tuple[Path, ...], **options: Any) -> None:
    """Lint Python files, notebooks and folders; the current folder if none is given, the standard input for `-`.

    Exit codes: 0 no findings, 1 findings, 2 usage, configuration, nothing to check, or internal error.
    """
    if Path("-") in paths and options["stdin_filename"] is None:
        options["stdin_filename"] = Path("-")
    targets, missing = _targets(paths, options["stdin_filename"])
    for path in missing:
        error(f"{path}: no such file or folder{meant(path)}")
    if missing and options["add_ignore"] is not None:
        # One of the paths may be a reason: no comment is written without it.
        error("no comment was written; a reason follows a `=`: --add-ignore=REASON")
        sys.exit(2)
    if not targets:
        sys.exit(2)
    given = overrides(options)

    def once() -> int:
        resolver = given.resolver()
        try:
            outcome = run(targets, options, resolver)
        except SettingsError:
            # Nothing was linted; a rule that is not known may be one of a plugin that cannot be used.
            outcome = Outcome(failed=True)
            outcome.result.errors += rule_problems()
        outcome.failed |= bool(missing)
        return _code(resolver, outcome)

    if options["diff_base"] is not None:
        _refuse_beside("--diff-base only shows findings", _NOT_COMPARED, options)
    if not options["watch"]:
        sys.exit(once())
    _refuse_beside("--watch only shows findings", _NOT_WATCHED, options)
    from .watching import watch

    watch(targets, once)


#: What changes files, or is done once.
_NOT_WATCHED: Final = (
    *("stdin_filename", "fix", "fix_only", "diff", "thread_groups"),
    *("write_baseline", "add_ignore", "show_analysis", "show_settings", "show_files"),
)

#: What changes files, or shows something else than findings.
_NOT_COMPARED: Final = tuple(name for name in _NOT_WATCHED if name not in ("show_settings", "show_files"))


def _refuse_beside(why: str, names: Sequence[str], options: dict[str, Any]) -> None:
    """Raise UsageError for the first of these options that was given."""
    wrong = next((name for name in names if options[name] not in (False, None)), None)
    if wrong is not None:
        what = "-" if options[wrong] == Path("-") else f"--{wrong.replace('_', '-')}"
        raise click.UsageError(f"{why}: leave out {what}")


def _targets(paths: tuple[Path, ...], stdin_filename: Path | None) -> tuple[list[Path], list[Path]]:
    """The files and folders to lint, and those that do not exist."""
    if stdin_filename is not None:
        if paths not in ((), (Path("-"),)):
            what = "`-`" if stdin_filename == Path("-") else "--stdin-filename"
            raise click.UsageError(f"{what} stands for the path: name no others")
        return [stdin_filename], []
    missing = [path for path in paths if not os.path.lexists(path)]
    return [path for path in paths if path not in missing] if paths else [Path()], missing


def _code(resolver: Resolver, outcome: Outcome) -> int:
    """Print the errors and warnings of a run; returns the exit code."""
    problems = [*resolver.problems, *outcome.result.errors]
    for problem in problems:
        error(problem)
    for notice in outcome.result.notices:
        warning(notice)
    return 2 if outcome.failed or problems else int(outcome.found)
