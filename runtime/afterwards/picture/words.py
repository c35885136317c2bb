"""Names and numbers of a run as HTML. Those from a trace are escaped."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Final

from collectivelint.printable import one_line

from ...quantities import ranks_text
from .named import compact

if TYPE_CHECKING:
    from collections.abc import Iterable

#: So many characters of a list of ranks are shown.
LONG: Final = 80


def text(value: object) -> str:
    """A value as text in one line."""
    return escape(one_line(compact(str(value))))


def prose(value: object) -> str:
    """A sentence of the report as HTML: text in backticks becomes code."""
    return re.sub("`([^`]+)`", r"<code>\1</code>", text(value))


def code(value: object) -> str:
    """A value as code."""
    return f"<code>{text(value)}</code>"


def group(group: str, kind: str) -> str:
    """The name of a group with the colour of its kind."""
    return f'<span class="group" data-kind="{text(kind)}">{prose(group)}</span>'


def short(place: str) -> str:
    """The last two parts of a path."""
    return "/".join(place.replace("\\", "/").rsplit("/", 2)[-2:])


def ranks(some: Iterable[int]) -> str:
    """`ranks 0-2`, of many runs the first ones."""
    words = ranks_text(some)
    return text(words if len(words) <= LONG else f"{words[:LONG].rpartition(',')[0]} and more")
