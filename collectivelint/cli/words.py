"""Options that take one of a few words: a misspelt one is answered with the nearest."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

import click


def nearest(word: str, known: list[str]) -> str:
    """`; did you mean ...?` with the nearest of the known words, or nothing."""
    near = get_close_matches(word, known, 1, 0.5)
    return f"; did you mean `{near[0]}`?" if near else ""


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
