"""Output for the user: control characters from files are escaped, colours follow the terminal and its environment."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

from collectivelint import colour
from collectivelint.printable import printable


def say(text: str) -> None:
    """Write to stderr from inside a job; a closed or unread stderr must not make the job fail."""
    with suppress(Exception):
        sys.stderr.write(printable(text))
        sys.stderr.flush()


def echo(text: str, *, err: bool = False, nl: bool = True, **style: Any) -> None:
    """Print for a command; on a terminal in a style of `click.style` (see NO_COLOR and FORCE_COLOR)."""
    import click

    text = printable(text)
    has_colour = colour.is_wanted(sys.stderr if err else sys.stdout) if style else None
    click.echo(click.style(text, **style) if style else text, err=err, nl=nl, color=has_colour)


def reason(error: Exception) -> str:
    """The message of an error for the user, without the errno."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
