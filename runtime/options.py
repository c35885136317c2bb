"""What the options and arguments of the commands have in common."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectivelint.spelling import near_words

if TYPE_CHECKING:
    from collections.abc import Iterable


class NamedPath(click.Path):
    """A path that is not empty: such a text, of a variable that is not set, would mean the current folder."""

    def __init__(self, **options: Any) -> None:
        """`options`: those of click.Path."""
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        if os.fspath(value) in ("", b""):
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


def refuse_unknown(ctx: click.Context, command: Iterable[str]) -> None:
    """A command does not begin with a dash: that is an option of ours, misspelt."""
    word = next(iter(command), "")
    if not word.startswith("-"):
        return
    name = word.partition("=")[0]
    known = [option for parameter in ctx.command.params for option in parameter.opts if option.startswith("-")]
    raise click.NoSuchOption(name, possibilities=near_words(name, known), ctx=ctx)
