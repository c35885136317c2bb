"""What a fix would change, as a unified diff that `patch` and `git apply` take."""

from __future__ import annotations

import codecs
import difflib
import os
import sys
from typing import TYPE_CHECKING

import click

from ..fixes.apply import encoded
from ..printable import printable
from ..source import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..source import Source


def show(source: Source, after: str) -> None:
    """Print the change of one file: on a terminal as text that cannot control it, elsewhere byte by byte.

    Raise FixError if the encoding of the file cannot express the result.
    """
    encoded(source, after)
    if sys.stdout.isatty():
        for line in _diff(source, after):
            click.echo(printable(line.decode(source.encoding, "replace")), nl=False)
        return
    for line in _diff(source, after):
        # As bytes: click would take escape sequences out of text that goes to a file.
        click.echo(line, nl=False)


def _diff(source: Source, after: str) -> Iterator[bytes]:
    # A line end in a name would end the header.
    name = os.fsencode(source.path.replace("\n", "\\n").replace("\r", "\\r"))
    before = _lines(source, source.text)
    for line in difflib.diff_bytes(difflib.unified_diff, before, _lines(source, after), name, name):
        yield line if line.endswith(b"\n") else line + b"\n\\ No newline at end of file\n"


def _lines(source: Source, text: str) -> list[bytes]:
    """The lines as they lie on the disk, the byte order mark included."""
    found = [line.encode(source.encoding) for line in lines(text)]
    if source.bom and found:
        found[0] = codecs.BOM_UTF8 + found[0]
    return found
