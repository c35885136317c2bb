"""Hyperlinks in terminal output (OSC 8)."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Final, TextIO

#: Variables that terminals with hyperlinks set, and values of TERM_PROGRAM.
_VARIABLES: Final = ("KITTY_WINDOW_ID", "WT_SESSION", "KONSOLE_VERSION", "WEZTERM_PANE", "ALACRITTY_WINDOW_ID")
_PROGRAMS: Final = frozenset({"iTerm.app", "WezTerm", "vscode", "ghostty", "Hyper", "rio"})
#: The first version of the terminals of GNOME that has them.
_VTE: Final = 5000


def is_supported(stream: TextIO) -> bool:
    """Whether the stream is a terminal whose environment variables announce support for hyperlinks."""
    if not stream.isatty() or os.environ.get("TERM") == "dumb":
        return False
    version = os.environ.get("VTE_VERSION", "")
    is_gnome = version.isdecimal() and int(version) >= _VTE
    return is_gnome or os.environ.get("TERM_PROGRAM") in _PROGRAMS or any(map(os.environ.get, _VARIABLES))


def to_rule(code: str, text: str) -> str:
    """The text as a link to the file that documents a rule; unchanged for a rule without one."""
    address = _address(code)
    return f"\x1b]8;;{address}\x1b\\{text}\x1b]8;;\x1b\\" if address else text


@cache
def _address(code: str) -> str:
    # Not at the top: it imports all rules.
    from ..registry import discover

    file = getattr(discover().get(code), "__file__", None)
    return Path(file).as_uri() if file else ""
