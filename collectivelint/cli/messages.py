"""Errors and warnings on stderr. They may contain text from linted files, so control characters are escaped."""

from __future__ import annotations

import click

from ..printable import printable


def error(text: object) -> None:
    """Print that something was not done."""
    click.echo(f"error: {printable(str(text))}", err=True)


def warning(text: object) -> None:
    """Print that something was done in another way than expected."""
    click.echo(f"warning: {printable(str(text))}", err=True)
