"""Shorter names for the page: groups of many ranks, and places in folders."""

from __future__ import annotations

import re
from typing import Final

from ...quantities import ranks_text

#: The members of a group in a text, from nine on, and how many characters of them are shown.
_MEMBERS: Final = re.compile(r"\{(\d+(?:,\d+){8,})\}")
_SHOWN: Final = 60
#: A place with folders behind "at".
_PLACE: Final = re.compile(r"(?<= at )\S*[/\\](\S+:\d+)")


def compact(text: str) -> str:
    """The text with the members of large groups as ranges: `default group {0-999}`."""
    return _MEMBERS.sub(_runs, text)


def without_folders(text: str) -> str:
    """The text with each place, such as `all_reduce at /home/me/train.py:3`, reduced to its file name."""
    return _PLACE.sub(r"\1", text)


def _runs(members: re.Match[str]) -> str:
    ranks = {int(rank) for rank in members[1].split(",")}
    shown = ranks_text(ranks).partition(" ")[2]
    return (
        f"{{{shown}}}" if len(shown) <= _SHOWN else f"{{{shown[:_SHOWN].rpartition(',')[0]}, ...: {len(ranks)} ranks}}"
    )
