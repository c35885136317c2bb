"""Settings from the command line: options that set a key, and `--config`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ..findings.confidence import confidence_of
from ..settings import Resolver, Settings, is_argument, known_selectors
from ..settings.config_file import read_words
from ..source.patterns import said, unusable

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names a configuration file where `--config` does not.
CONFIG_VARIABLE: Final = "COLLECTIVELINT_CONFIG"
_SELECTORS: Final = ("select", "ignore", "unfixable")
_ADDED: Final = ("extend_select", "extend_ignore")


@dataclass(frozen=True, slots=True)
class Overrides:
    """`values` override the configuration, `more` extends its lists, and `file` replaces all configuration files."""

    values: dict[str, Any]
    more: dict[str, tuple[str, ...]]
    isolated: bool
    file: Path | None = None

    def resolver(self) -> Resolver:
        """A resolver that has read nothing yet."""
        return Resolver(self.values, isolated=self.isolated, more=self.more, file=self.file)


def overrides(options: dict[str, Any]) -> Overrides:
    """The settings of these options; raise UsageError."""
    names = ("fixable", *_SELECTORS, *_ADDED)
    _, unknown = known_selectors(Settings(**{name: options[name] for name in names if options[name]}))
    if unknown:
        raise click.UsageError("; ".join(unknown))
    file, values = _config(options["config"], isolated=options["isolated"])
    more = {name: options[name] for name in _ADDED if options[name]}
    excluded = (*options["exclude"], *options["extend_exclude"])
    if excluded:
        _check_patterns("--exclude" if options["exclude"] else "--extend-exclude", excluded)
        more["extend_exclude"] = excluded
    return Overrides(values | _given(options), more, options["isolated"], file)


def _config(words: Sequence[str], *, isolated: bool) -> tuple[Path | None, dict[str, Any]]:
    """The file and the values that `--config` names; raise UsageError."""
    # A value may be longer than a name can be, which `Path.exists` raises.
    files = [word for word in words if os.path.exists(word) or "=" not in word]
    variable = os.environ.get(CONFIG_VARIABLE, "")
    if variable and not files and not isolated:
        files = [variable]
    if len(files) > 1:
        raise click.UsageError(f"--config takes one file, not {' and '.join(files)}")
    if files and isolated:
        raise click.UsageError(f"--isolated ignores all configuration files: leave out --config {files[0]}")
    if files and not os.path.isfile(files[0]):
        source = "--config" if files[0] in words else CONFIG_VARIABLE
        what = "is a folder, not a configuration file" if os.path.isdir(files[0]) else "no such file"
        raise click.UsageError(f"{source}: {files[0]}: {what}" + ", and not KEY = VALUE" * (source == "--config"))
    values: dict[str, Any] = {}
    for word in words:
        if word not in files:
            found, problems = read_words(word)
            if problems:
                raise click.UsageError("; ".join(problem.replace("--config:1: ", "--config: ") for problem in problems))
            values |= found
    _, unknown = known_selectors(Settings(**values))
    if unknown:
        raise click.UsageError(f"--config: {'; '.join(unknown)}")
    return Path(files[0]) if files else None, values


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given and that correspond to settings."""
    names = (
        *("fixable", *_SELECTORS),
        *("unsafe_fixes", "explicit_world", "group", "use_group_ops", "force_exclude", "preview"),
    )
    given = {name: options[name] for name in names if options[name] not in (None, ())}
    if options["group"] and not is_argument(options["group"]):
        raise click.UsageError(f"--group has to be one Python expression, and `{options['group']}` is not")
    if options["min_confidence"]:
        given["min_confidence"] = confidence_of(options["min_confidence"])
    if options["per_file_ignores"]:
        pairs = [pair.rpartition(":") for pair in options["per_file_ignores"]]
        if not all(pattern and codes for pattern, _, codes in pairs):
            raise click.UsageError("--per-file-ignores has to be PATTERN:CODES, as in tests/*:CL1,CL406")
        _check_patterns("--per-file-ignores", [pattern for pattern, _, _ in pairs])
        given["per_file_ignores"] = {pattern: tuple(codes.split(",")) for pattern, _, codes in pairs}
    return given


def _check_patterns(option: str, patterns: Sequence[str]) -> None:
    if wrong := unusable(patterns):
        raise click.UsageError(f"{option}: {said(wrong[0])}")
