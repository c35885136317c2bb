"""Markdown on a terminal: headings, lists and code set apart by weight and by the terminal's own colours."""

from __future__ import annotations

import sys
from typing import Final

import click

from ..colour import is_wanted
from ..printable import printable

#: Columns; longer lines are hard to read.
_WIDEST: Final = 100


def show(text: str) -> None:
    """Print Markdown: rendered on a terminal, as it is in a pipe, where it stays a page that other programs read."""
    if not sys.stdout.isatty():
        click.echo(text)
        return
    # Not at the top: what goes into a pipe needs none of it.
    from pygments.token import Comment, Keyword, String, Token
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.style import Style
    from rich.syntax import ANSISyntaxTheme
    from rich.theme import Theme

    # No background, and no colour that is pale on a dark or on a light one.
    code = ANSISyntaxTheme(
        {
            Token: Style(),
            Comment: Style(italic=True),
            Keyword: Style(bold=True),
            String: Style(color="green"),
        }
    )
    styles = {"markdown.code": "bold", "markdown.code_block": "none", "markdown.item.bullet": "bold"}
    headings = dict.fromkeys([f"markdown.h{level}" for level in range(1, 7)], "bold")
    theme = Theme(
        {
            **styles,
            **headings,
            "markdown.h2": "bold underline",
            "markdown.link": "none",
            "markdown.link_url": "underline",
        }
    )
    console = Console(theme=theme, no_color=not is_wanted(sys.stdout), highlight=False)
    console.width = min(console.width, _WIDEST)
    # Addresses are shown: not every terminal has links.
    console.print(Markdown(printable(text), code_theme=code, hyperlinks=False))  # type: ignore[arg-type]
