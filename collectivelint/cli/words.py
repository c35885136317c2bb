"""Parameter types for a fixed set of words: completion in the shell, and a suggestion for a misspelt one."""

from __future__ import annotations

import os
import shlex
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import click

from ..printable import printable
from ..spelling import near_words, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from click.shell_completion import CompletionItem


class Word(click.Choice[str]):
    """One of a few words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The word, or an error that names all and the nearest."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as problem:
            known = [str(choice) for choice in self.choices]
            raise click.BadParameter(
                problem.message.rstrip(".") + nearest(str(value), known), ctx=ctx, param=param
            ) from None


class Subcommands(click.Group):
    """A group of subcommands. If a path or name stands in place of one, the error names the command that takes it."""

    def __init__(self, *args: Any, usual: str, meant: Mapping[str, str] | None = None, **kwargs: Any) -> None:
        """`usual`: the subcommand that users most likely mean when they name none; `meant`: by another word for it."""
        super().__init__(*args, **kwargs)
        self._usual = usual
        self._meant = meant or {}

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command, or an error that says what to type."""
        word = args[0]
        is_known = word in self.commands or (near_words(word, self.commands, 1, 0.6) and not os.path.lexists(word))
        if is_known or word.startswith("-"):
            return super().resolve_command(ctx, args)
        if word in self._meant and not os.path.lexists(word):
            typed = f"{ctx.command_path} {self._meant[word]}"
        else:
            typed = printable(f"{ctx.command_path} {self._usual} {shlex.quote(word)}")
        raise click.UsageError(f"no command `{printable(word)}`; did you mean `{typed}`?", ctx)


def rule_words(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completions for the last rule of a list such as `CL101,CL2`: the codes and names with that prefix."""
    from click.shell_completion import CompletionItem

    from ..registry import discover

    before, comma, word = incomplete.rpartition(",")
    rules = [module.RULE for module in discover().values()]
    found = [(rule.code, rule.summary) for rule in rules if rule.code.startswith(word.upper())]
    found += [(rule.name, rule.summary) for rule in rules if word and rule.name.startswith(word)]
    return [CompletionItem(f"{before}{comma}{text}", help=summary) for text, summary in found]


def config_keys(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Shell completions for a configuration key."""
    from click.shell_completion import CompletionItem

    from ..settings.options import options

    return [CompletionItem(option.key, help=option.text) for option in options() if option.key.startswith(incomplete)]


#: Files in a folder of another kind, and the command that reads such folders.
_READERS: Final = {
    ".metadata": "ckpt verify",
    "*.safetensors": "ckpt verify",
    "run-*/": "report",
    "*.ring": "report",
}


def reader(folder: Path) -> str:
    """The command for a folder without Python files, as the end of an error; empty if it has no checkpoint or trace."""
    with suppress(OSError):
        for pattern, command in _READERS.items():
            if next(folder.glob(pattern), None) is not None:
                return f"; `collectivelint {command} {shlex.quote(str(folder))}` reads what is there"
    return ""


#: A name is looked for among as many files of a folder.
_MOST_NEIGHBOURS: Final = 2_000


def meant(path: Path) -> str:
    """A suggestion for a missing path, as the end of an error: a rule, or a neighbour with a similar name."""
    from ..registry import discover

    rules = [module.RULE for module in discover().values()]
    if any(str(path) in (rule.code, rule.name) for rule in rules):
        return f"; `collectivelint rule {path}` explains that rule"
    with suppress(OSError):
        near = near_words(path.name, [neighbour.name for neighbour in islice(path.parent.iterdir(), _MOST_NEIGHBOURS)])
        return f"; did you mean `{path.with_name(near[0])}`?" if near else ""
    return ""
