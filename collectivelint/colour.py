"""Whether output is coloured: one answer for all commands."""

from __future__ import annotations

import os
from typing import TextIO


def is_wanted(stream: TextIO, when: str = "auto") -> bool:
    """Whether to use colours: `always`, `never`, or `auto`, which means on a terminal.

    With `auto`, NO_COLOR disables them and FORCE_COLOR enables them anywhere, or disables them if it is 0 or false.
    """
    if when != "auto":
        return when == "always"
    if os.environ.get("NO_COLOR"):
        return False
    forced = os.environ.get("FORCE_COLOR", "")
    return forced.lower() not in ("0", "false") if forced else stream.isatty()
