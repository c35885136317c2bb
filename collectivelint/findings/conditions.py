"""A condition in words: its source, and whether it is true or false."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..analysis.effects import Guard
    from ..ir.nodes import Span

_FUNCTION: Final = re.compile(r"(?:async )?def (\w+)\(")


def in_words(guard: Guard, text: Callable[[str, Span], str], *, holds: bool) -> str:
    """What holds in the arm of a guard: "`rank == 0` is true", "`rank` matches `0`"; `text` gives source."""
    holds = holds == guard.positive
    if guard.symbol.kind == "caught":
        return "an exception was caught" if holds else "no exception was caught"
    written = text(guard.path, guard.span)
    if guard.symbol.kind == "turns":
        return f"the loop over `{written}` {'continues' if holds else 'has ended'}"
    if guard.symbol.kind == "override":
        return f"`{written}` runs {'this' if holds else 'another'} override"
    if guard.subject is not None:
        verb = "matches" if holds else "does not match"
        return f"`{text(guard.path, guard.subject)}` {verb} `{written}`"
    if decorated := _FUNCTION.match(written):
        # What decides stands in the decorator.
        return f"a decorator of `{decorated[1]}` {'calls' if holds else 'does not call'} it"
    return f"`{written}` is {'true' if holds else 'false'}"
