"""What a fix would change, as a unified diff that `patch` and `git apply` take."""

from __future__ import annotations

import difflib
import io
import os
import sys
from typing import TYPE_CHECKING

import click

from ..fixes.apply import encoded
from ..printable import printable
from ..source.notebook import Notebook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..source.text import Source


def show(source: Source, after: str) -> None:
    """Print the change of one file: on a terminal as text that cannot control it, elsewhere byte by byte.

    Raise FixError if the encoding of the file cannot express the result.
    """
    is_terminal = sys.stdout.isatty()
    for line in _cells(source, after) if isinstance(source, Notebook) else _diff(source, encoded(source, after)):
        # As bytes in a pipe: click would take escape sequences out of text that does not go to a terminal.
        click.echo(printable(line.decode(source.encoding, "replace")) if is_terminal else line, nl=False)


def _diff(source: Source, after: bytes) -> Iterator[bytes]:
    # A line end in a name would end the header.
    name = os.fsencode(source.path.replace("\n", "\\n").replace("\r", "\\r"))
    before = encoded(source, source.text)
    for line in difflib.diff_bytes(difflib.unified_diff, _lines(before), _lines(after), name, name):
        yield line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


def _cells(source: Notebook, after: str) -> Iterator[bytes]:
    """The same for a notebook, cell by cell, each under its number."""
    for cell, one, two in zip(source.cells, source.parts(source.text), source.parts(after), strict=True):
        name = f"{source.path}:cell {cell.number}".encode(errors="surrogateescape")
        # A cell is no file: that nothing ends its last line says nothing.
        before, now = (f"{text}\n".encode(errors="surrogateescape") for text in (one, two))
        yield from difflib.diff_bytes(difflib.unified_diff, _lines(before), _lines(now), name, name)


def _lines(data: bytes) -> list[bytes]:
    """The lines as `patch` counts them: a line feed alone ends one."""
    return io.BytesIO(data).readlines()
