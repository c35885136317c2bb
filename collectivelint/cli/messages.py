"""What commands say on stderr. Names and texts in it may come from files of others, so control characters are shown."""

from __future__ import annotations

import click

from ..printable import printable


def error(text: object) -> None:
    """Something was not done."""
    click.echo(f"error: {printable(str(text))}", err=True)


def warning(text: object) -> None:
    """Something was done in another way than expected."""
    click.echo(f"warning: {printable(str(text))}", err=True)
