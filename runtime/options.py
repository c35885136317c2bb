"""Option and argument types that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from collectivelint.cli.words import meant
from collectivelint.printable import printable
from collectivelint.spelling import near_words

if TYPE_CHECKING:
    from collections.abc import Iterable


class NamedPath(click.Path):
    """A path that must not be empty: an unset shell variable would otherwise mean the current folder."""

    def __init__(self, **options: Any) -> None:
        """`options`: keyword arguments of click.Path."""
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        if os.fspath(value) in ("", b""):
            self.fail("the name is empty", param, ctx)
        return super().convert(value, param, ctx)


class TraceFolder(NamedPath):
    """A folder with a trace. If it is missing, the error suggests the nearest name, or the command that writes one."""

    def __init__(self) -> None:
        """The folder must exist."""
        super().__init__(exists=True, file_okay=False)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The path, or a usage error."""
        path = Path(os.fsdecode(value))
        if os.fspath(value) and not os.path.lexists(path):
            hint = meant(path) or "; `collectivelint trace -- torchrun ... train.py` writes one"
            self.fail(printable(f"{path}: no such folder{hint}"), param, ctx)
        return super().convert(value, param, ctx)


def refuse_unknown(ctx: click.Context, command: Iterable[str]) -> None:
    """Reject a command that begins with a dash: it is one of our options, misspelt."""
    word = next(iter(command), "")
    if not word.startswith("-"):
        return
    name = word.partition("=")[0]
    known = [option for parameter in ctx.command.params for option in parameter.opts if option.startswith("-")]
    raise click.NoSuchOption(name, possibilities=near_words(name, known), ctx=ctx)
