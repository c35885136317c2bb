"""Words to the user: control characters that others wrote made visible, colours where the user wants them."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Any

from collectivelint.printable import printable


def say(text: str) -> None:
    """Write to stderr from inside a job: if it is closed, or nobody reads it, that is never the job's trouble."""
    with suppress(Exception):
        sys.stderr.write(printable(text))
        sys.stderr.flush()


def echo(text: str, *, err: bool = False, nl: bool = True, **style: Any) -> None:
    """Print for a command, in a style of `click.style` on a terminal (see NO_COLOR and FORCE_COLOR)."""
    import click

    text = printable(text)
    click.echo(click.style(text, **style) if style else text, err=err, nl=nl, color=_has_colour(err) if style else None)


def _has_colour(err: bool) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stderr if err else sys.stdout).isatty()
